package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"ledger/affinity"
	"ledger/limits"
	"ledger/wire"
)

const (
	clientsMin = 1

	cacheGridBytesMin     = 8 << 20
	cacheGridBytesMax     = 8 << 40
	cacheAccountsBytesMin = 1 << 20
	cacheAccountsBytesMax = 128 << 30
	limitStorageBytesMin  = 2 << 30 // the zones before the grid take more than half of it
	scrubDaysMin          = 0.0001  // 8.64 s, for tests
	scrubDaysMax          = 3650

	accountBytes = 128
)

// auto in place of a core list or a node leaves the choice to the server. It is the default.
const auto = "auto"

// CacheAccountsBytes is the size that --cache-accounts would give the account cache of l.
func CacheAccountsBytes(l *limits.Limits) uint64 { return uint64(l.CacheAccountsMax) * accountBytes }

// Start is the checked settings of a start.
type Start struct {
	Addresses        Addresses
	Development      bool
	Limits           limits.Limits
	ClientReleaseMax wire.Release // of the clients that are served
	ClusterKeyFile   Setting      // as LoadClusterKeys takes it; not set: the cluster has no key
	MetricsAddress   Address      // of the HTTP endpoint; no host means no endpoint
	MetricsPprof     bool         // it also profiles
	// MetricsOptional: an address that is taken is a warning. No setting; dev asks for it.
	MetricsOptional bool
	Affinity        affinity.Request
	LogJSON         bool    // the log's lines are JSON; else they are text
	EndsOnUpgrade   bool    // when its release ends, the process ends; else it becomes one of the next release
	Statsd          Address // to which figures are sent by UDP; no host means nowhere
	Trace           string  // a new file for the times of each op; "": none
	TraceOrigin     string  // begins errors about that file

	// AddressesOrigin begins errors about the number of addresses, which need the data file.
	AddressesOrigin string
}

// Resolve checks every setting, and fills in the defaults of those not set.
func (s *Settings) Resolve() (*Start, error) {
	start := &Start{Limits: limits.Production(), ClientReleaseMax: wire.ReleaseClientMax}
	if s.Development.IsSet() {
		development, err := ParseBool(s.Development.Text)
		if err != nil {
			return nil, s.Development.fail(err)
		}
		if start.Development = development; development {
			start.Limits = limits.Development()
		}
	}
	for _, resolve := range []func(*Start) error{s.resolveAddresses, s.resolveSizes, s.resolveScrubber, s.resolveReleases,
		s.resolveClusterKey, s.resolveStrangers,
		s.resolveAffinity, s.resolveLog, s.resolveObservers} {
		if err := resolve(start); err != nil {
			return nil, err
		}
	}
	start.Affinity.CompactWorkersMax = limits.CompactWorkersMax
	return start, nil
}

func (s *Settings) resolveAddresses(start *Start) (err error) {
	if !s.Addresses.IsSet() {
		return &Error{Origin: "--addresses", Err: errors.New("is missing: must name the address of each replica, as in 3001,3002,3003")}
	}
	if start.Addresses, err = ParseAddresses(s.Addresses.Text, limits.ReplicasMax+limits.StandbysMax); err != nil {
		return s.Addresses.fail(err)
	}
	start.AddressesOrigin = s.Addresses.Origin
	if s.MetricsAddress.IsSet() {
		if start.MetricsAddress, err = ParseAddress(s.MetricsAddress.Text); err != nil {
			return s.MetricsAddress.fail(err)
		}
	}
	if s.MetricsPprof.IsSet() {
		if start.MetricsPprof, err = ParseBool(s.MetricsPprof.Text); err != nil {
			return s.MetricsPprof.fail(err)
		}
		if start.MetricsPprof && !s.MetricsAddress.IsSet() {
			return s.MetricsPprof.fail(errors.New("must come with metrics_address, where the profiles are served"))
		}
	}
	return nil
}

func (s *Settings) resolveLog(start *Start) error {
	switch {
	case !s.OnUpgrade.IsSet() || s.OnUpgrade.Text == "restart":
	case s.OnUpgrade.Text == "exit":
		start.EndsOnUpgrade = true
	default:
		return s.OnUpgrade.fail(errors.New("must be restart or exit"))
	}
	switch {
	case !s.Log.IsSet() || s.Log.Text == "text":
	case s.Log.Text == "json":
		start.LogJSON = true
	default:
		return s.Log.fail(errors.New("must be text or json"))
	}
	return nil
}

// statsdPort is that of agents.
const statsdPort = 8125

func (s *Settings) resolveObservers(start *Start) (err error) {
	if s.Statsd.IsSet() {
		if start.Statsd, err = ParseAddress(s.Statsd.Text); err != nil {
			return s.Statsd.fail(err)
		}
		// A host alone has the port of agents.
		if text := s.Statsd.Text; !isDigits(text) && !strings.HasSuffix(text, ":"+strconv.Itoa(int(start.Statsd.Port))) {
			start.Statsd.Port = statsdPort
		}
	}
	start.Trace, start.TraceOrigin = s.Trace.Text, s.Trace.Origin
	if s.Trace.IsSet() && s.Trace.Text == "" {
		return s.Trace.fail(errors.New("must name a new file"))
	}
	return nil
}

func (s *Settings) resolveSizes(start *Start) error {
	l := &start.Limits
	size := func(setting Setting, multipleBytes, sizeBytesMin, sizeBytesMax uint64, set func(sizeBytes uint64)) error {
		if !setting.IsSet() {
			return nil
		}
		sizeBytes, err := ParseSize(setting.Text)
		if err == nil {
			err = checkSize(sizeBytes, multipleBytes, sizeBytesMin, sizeBytesMax)
		}
		if err != nil {
			return setting.fail(err)
		}
		set(sizeBytes)
		return nil
	}
	block := uint64(l.BlockBytes)
	if err := size(s.CacheGrid, block, cacheGridBytesMin, cacheGridBytesMax,
		func(sizeBytes uint64) { l.CacheGridBytes = sizeBytes }); err != nil {
		return err
	}
	if err := s.resolveRecent(l); err != nil {
		return err
	}
	if err := size(s.CacheAccounts, cacheAccountsBytesMin, cacheAccountsBytesMin, cacheAccountsBytesMax, func(sizeBytes uint64) {
		l.CacheAccountsMax = uint32(sizeBytes / accountBytes)
	}); err != nil {
		return err
	}
	return size(s.LimitStorage, block, limitStorageBytesMin, limits.Production().StorageBytesMax,
		func(sizeBytes uint64) { l.StorageBytesMax = sizeBytes })
}

func (s *Settings) resolveRecent(l *limits.Limits) error {
	if !s.CacheRecent.IsSet() {
		return nil
	}
	percent, err := strconv.ParseUint(strings.TrimSuffix(s.CacheRecent.Text, "%"), 10, 32)
	if err != nil || percent > limits.CacheRecentPercentMax {
		return s.CacheRecent.fail(fmt.Errorf("must be 0 to %d, the percentage of --cache-grid for the newest blocks; 0 keeps none",
			limits.CacheRecentPercentMax))
	}
	l.CacheRecentPercent = uint32(percent)
	return nil
}

func (s *Settings) resolveScrubber(start *Start) (err error) {
	if s.ScrubDays.IsSet() {
		start.Limits.ScrubPeriodNs, err = ParseScrubDays(s.ScrubDays)
	}
	return err
}

// ParseScrubDays returns the time in which the scrubber reads the whole file; 0: it is off.
func ParseScrubDays(s Setting) (periodNs uint64, err error) {
	days, err := strconv.ParseFloat(s.Text, 64)
	if isPlain := strings.Trim(s.Text, "0123456789.") == ""; err != nil || !isPlain || days > scrubDaysMax || days > 0 && days < scrubDaysMin {
		return 0, s.fail(fmt.Errorf("must be a number of %v to %v days, in which the whole data file is read; 0 switches the scrubber off",
			scrubDaysMin, scrubDaysMax))
	}
	return uint64(days * limits.DayNs), nil
}

func (s *Settings) resolveReleases(start *Start) error {
	if !s.ClientReleaseMax.IsSet() {
		return nil
	}
	release, err := wire.ParseRelease(s.ClientReleaseMax.Text)
	if err != nil {
		return s.ClientReleaseMax.fail(fmt.Errorf("must be a release of three numbers, as in %s: at most %s",
			wire.ReleaseClientMax, wire.Release(math.MaxUint32)))
	}
	if release < wire.ReleaseClientMin {
		return s.ClientReleaseMax.fail(fmt.Errorf("must be at least %s, the oldest release that is served", wire.ReleaseClientMin))
	}
	start.ClientReleaseMax = release
	return nil
}

func (s *Settings) resolveStrangers(start *Start) error {
	if !s.PerAddress.IsSet() {
		return nil
	}
	count, err := ParseCount(s.PerAddress.Text, 1, math.MaxUint16)
	if err != nil {
		return s.PerAddress.fail(fmt.Errorf("%w; without the setting, an address may have all connections", err))
	}
	start.Limits.ConnectionsPerAddress = count
	return nil
}

func (s *Settings) resolveClusterKey(start *Start) error {
	start.ClusterKeyFile = s.ClusterKeyFile
	if s.ClusterKeyFile.IsSet() && s.ClusterKeyFile.Text == "" {
		return s.ClusterKeyFile.fail(errors.New("must name a file, as ledger keygen makes it"))
	}
	return nil
}

func (s *Settings) resolveAffinity(start *Start) error {
	request := affinity.AutoRequest()
	if s.NumaNode.IsSet() && s.NumaNode.Text != auto {
		node, err := ParseCount(s.NumaNode.Text, 0, affinity.NodesMax-1)
		if err != nil {
			return s.NumaNode.fail(fmt.Errorf("must be auto, or a node of 0 to %d", affinity.NodesMax-1))
		}
		request.Node = int(node)
	}
	for stage, setting := range s.Cores {
		if !setting.IsSet() || setting.Text == auto {
			continue
		}
		cores, err := affinity.ParseCores(setting.Text)
		if err != nil {
			return setting.fail(err)
		}
		request.Cores[stage] = cores
	}
	if s.Spin.IsSet() && s.Spin.Text != auto {
		spinNs, err := ParseSpin(s.Spin.Text)
		if err != nil {
			return s.Spin.fail(err)
		}
		request.SpinNs, request.SpinIsSet = spinNs, true
	}
	start.Affinity = request
	return nil
}

// FormatSettings is the settings of format and recover, as text.
type FormatSettings struct {
	Cluster      Setting
	Replica      Setting
	Standby      Setting // instead of Replica
	ReplicaCount Setting
	ClientsMax   Setting
	Development  Setting
}

// Format is the checked settings of format and recover.
type Format struct {
	Cluster      wire.U128
	ClusterIsSet bool   // if not, format picks one at random, and recover refuses
	Replica      uint32 // of a standby: at least ReplicaCount
	ReplicaCount uint32
	ClientsMax   uint32
	Development  bool
}

// IsStandby tells whether the file is to be a standby's.
func (f *Format) IsStandby() bool { return f.Replica >= f.ReplicaCount }

// Resolve checks every setting. The replica, or standby, and the count of replicas have no default.
func (s *FormatSettings) Resolve() (*Format, error) {
	format := &Format{ClientsMax: limits.Production().SessionsMax}
	var err error
	if s.Cluster.IsSet() {
		format.ClusterIsSet = true
		if format.Cluster, err = ParseCluster(s.Cluster.Text); err != nil {
			return nil, s.Cluster.fail(err)
		}
	}
	if !s.ReplicaCount.IsSet() {
		return nil, &Error{Origin: "--replica-count", Err: fmt.Errorf("is missing: must be the number of replicas of the cluster, 1 to %d",
			limits.ReplicasMax)}
	}
	if format.ReplicaCount, err = ParseCount(s.ReplicaCount.Text, 1, limits.ReplicasMax); err != nil {
		return nil, s.ReplicaCount.fail(err)
	}
	if format.Replica, err = s.index(format.ReplicaCount); err != nil {
		return nil, err
	}
	if s.ClientsMax.IsSet() {
		if format.ClientsMax, err = ParseCount(s.ClientsMax.Text, clientsMin, limits.SessionsMax); err != nil {
			return nil, s.ClientsMax.fail(err)
		}
	}
	if s.Development.IsSet() {
		if format.Development, err = ParseBool(s.Development.Text); err != nil {
			return nil, s.Development.fail(err)
		}
	}
	return format, nil
}

// index of the replica or standby.
func (s *FormatSettings) index(replicas uint32) (index uint32, err error) {
	switch {
	case s.Standby.IsSet() && s.Replica.IsSet():
		return 0, s.Standby.fail(errors.New("must not come with --replica: a data file is that of a replica or that of a standby"))
	case s.Standby.IsSet() && replicas == 1:
		return 0, s.Standby.fail(errors.New("a cluster of 1 replica has no standbys: format all files with --replica-count of 2 or more, or " +
			"copy the data file of the stopped replica as a backup"))
	case s.Standby.IsSet():
		if index, err = ParseCount(s.Standby.Text, replicas, replicas+limits.StandbysMax-1); err != nil {
			return 0, s.Standby.fail(fmt.Errorf("%w: the indexes of standbys follow those of the %d replicas", err, replicas))
		}
		return index, nil
	case !s.Replica.IsSet():
		return 0, &Error{Origin: "--replica", Err: fmt.Errorf("is missing: must be the index of this replica, 0 to %d", replicas-1)}
	}
	if index, err = ParseCount(s.Replica.Text, 0, replicas-1); err != nil {
		return 0, s.Replica.fail(fmt.Errorf("%w: there are %d replicas", err, replicas))
	}
	return index, nil
}
