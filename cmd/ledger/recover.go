package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ledger/client"
	"ledger/config"
	"ledger/limits"
	"ledger/patient"
	"ledger/wire"
)

// recoverCommand makes the data file of a replica whose file is lost.
//
// A new file knows nothing of what the lost one has acknowledged. So the cluster is told first:
//
//  1. A member op names the new file. From it on, nothing of the lost file counts.
//  2. A pipeline of further ops is committed, without that replica. All that the lost file can have
//     helped to commit is further down than a view change may truncate.
//  3. The file is made. Its view is after all those for which a vote of the lost file counted.
//
// The file gets its name when it is whole and on the disk. A command that ends before leaves no
// file, and a number in the cluster's state that no file has: it is run again.
type recoverCommand struct {
	Cluster      *string `placeholder:"N" help:"Id of the cluster. Required."`
	Replica      *string `placeholder:"I" help:"Index of the replica whose data file is lost, from 0."`
	ReplicaCount *string `placeholder:"N" help:"Replicas of the cluster, 3 to ${replicas_max}."`
	ClientsMax   *string `placeholder:"N" help:"Client sessions, 1 to ${clients_max}, as the other replicas were formatted. Default: ${clients}."`
	Development  *string `placeholder:"BOOL" help:"Make a file for development: quickly, and without direct I/O where there is none. Default: false."`
	Addresses    *string `placeholder:"LIST" help:"Addresses of all replicas, by index, as start has them. Required."`
	File         string  `arg:"" help:"The data file to make."`
}

func (c *recoverCommand) Run(s *streams) error {
	format, addresses, err := c.settings()
	if err != nil {
		return err
	}
	f, err := newFormatter(s.err, "recover", c.File, format)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	r := recovery{streams: s, member: wire.Member{Incarnation: newIncarnation(), Replica: uint8(format.Replica),
		ReplicasCount: uint8(format.ReplicaCount)}}
	servers := &patient.Connection[*client.Session]{Options: client.Options{Addresses: addresses, Cluster: format.Cluster},
		Open: client.Open, Messages: s.err, Late: patient.LateAfter}
	defer servers.Close()
	fmt.Fprintf(s.err, "recovering replica %d of %d of cluster %s: asking the others\n", format.Replica, format.ReplicaCount, format.Cluster)
	if err := servers.Do(ctx, r.tell); err != nil {
		switch {
		case ctx.Err() != nil && !r.isAsked:
			err = errors.New("stopped before the cluster answered: nothing was changed; ledger ping tells why it does not answer")
		case ctx.Err() != nil:
			err = fmt.Errorf("stopped before the data file was made: run it again; the old file of replica %d, if there is one, "+
				"may have lost its vote", format.Replica)
		}
		return err
	}
	if err := f.make(r.member.Incarnation, r.view+2); err != nil {
		return fmt.Errorf("%w (the cluster waits for the new file of replica %d: run recover again)", err, format.Replica)
	}
	fmt.Fprintf(s.err, "%s is made: start it like the lost one; it fetches from the others what it has not got\n", c.File)
	return nil
}

// settings checks the flags.
func (c *recoverCommand) settings() (*config.Format, []string, error) {
	settings := config.FormatSettings{
		Cluster:      setting("cluster", c.Cluster),
		Replica:      setting("replica", c.Replica),
		ReplicaCount: setting("replica-count", c.ReplicaCount),
		ClientsMax:   setting("clients-max", c.ClientsMax),
		Development:  setting("development", c.Development),
	}
	format, err := settings.Resolve()
	if err != nil {
		return nil, nil, err
	}
	switch {
	case !format.ClusterIsSet:
		return nil, nil, errors.New("--cluster: is missing: must be the id of the cluster, as the other data files have it " +
			"(ledger inspect superblock)")
	case format.ReplicaCount < 3:
		return nil, nil, fmt.Errorf("--replica-count=%d: must be 3 or more: with fewer, nothing can be committed without the lost file, and "+
			"what it had acknowledged may be nowhere else. Restore copies of all data files that were made at one moment, or begin a "+
			"new cluster with ledger format and put an export into it with ledger import", format.ReplicaCount)
	case c.Addresses == nil:
		return nil, nil, errors.New("--addresses: is missing: must be the addresses of all replicas, as start has them")
	}
	list, err := config.ParseAddresses(*c.Addresses, limits.MembersMax)
	if err == nil && list.IsPickPort() {
		err = errors.New("must name a port")
	}
	if err == nil && len(list) < int(format.ReplicaCount) {
		err = fmt.Errorf("must have the addresses of all %d replicas, and has %d", format.ReplicaCount, len(list))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--addresses=%s: %w", *c.Addresses, err)
	}
	addresses := []string{}
	for _, address := range list[:format.ReplicaCount] { // those of standbys stand behind
		addresses = append(addresses, address.String())
	}
	return format, addresses, nil
}

// recovery is what is told to the cluster, and what it says.
type recovery struct {
	streams *streams
	member  wire.Member
	view    uint32 // the highest one of a reply
	isAsked bool   // the cluster may know the new file
}

// tell makes the cluster expect the new file.
func (r *recovery) tell(ctx context.Context, session *client.Session) error {
	fmt.Fprintln(r.streams.err, "the cluster answers; naming the new data file")
	r.isAsked = true
	request, reply := client.NewMessage(), client.NewMessage()
	wire.PutMember(request.Body(), &r.member)
	isNamed := atomic.Bool{}
	late := time.AfterFunc(patient.LateAfter, func() {
		if !isNamed.Load() {
			fmt.Fprintf(r.streams.err, "the cluster has not taken the new file yet: is replica %d the one whose file is lost? If it still runs, "+
				"stop it; if its host died, the others notice within a minute. The others have to be connected\n", r.member.Replica)
		}
	})
	defer late.Stop()
	_, err := session.Do(ctx, wire.OperationMember, request, wire.MemberBodyBytes, reply)
	isNamed.Store(true)
	if evicted := (*client.EvictedError)(nil); errors.As(err, &evicted) && evicted.Reason == wire.EvictionInvalidBody {
		return fmt.Errorf("the cluster refuses: it has not %d replicas", r.member.ReplicasCount)
	}
	if err != nil {
		return err
	}
	r.view = max(r.view, reply.Header().View())
	for range limits.Production().PipelineOpsMax {
		if _, err := session.Do(ctx, wire.OperationNoop, request, 0, reply); err != nil {
			return err
		}
		r.view = max(r.view, reply.Header().View())
	}
	return nil
}
