package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"ledger/affinity"
)

// Setting is a value as it was written, and the place where it was written. The zero Setting is not
// set.
type Setting struct {
	Text   string
	Origin string // begins errors: `--cache-grid=7`, or `ledger.toml:3: [start] cache_grid = "7"`
}

// IsSet tells whether the setting was written.
func (s Setting) IsSet() bool { return s.Origin != "" }

// Flag returns the setting of --name=text. Name has no hyphens.
func Flag(name, text string) Setting {
	return Setting{Text: text, Origin: "--" + name + "=" + text}
}

// fail returns the error of a wrong setting.
func (s Setting) fail(err error) error { return &Error{Origin: s.Origin, Err: err} }

// Error repeats the setting and tells the right values.
type Error struct {
	Origin string
	Err    error
}

func (e *Error) Error() string { return e.Origin + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Settings is all settings of a start, as text. It is a value: copies share nothing.
type Settings struct {
	Addresses        Setting
	CacheGrid        Setting
	CacheRecent      Setting
	CacheAccounts    Setting
	LimitStorage     Setting
	ScrubDays        Setting
	ClientReleaseMax Setting
	ClusterKeyFile   Setting
	PerAddress       Setting
	Development      Setting
	MetricsAddress   Setting
	MetricsPprof     Setting
	Log              Setting
	OnUpgrade        Setting
	Statsd           Setting
	Trace            Setting

	NumaNode Setting
	Cores    [affinity.StagesCount]Setting // by affinity.Stage
	Spin     Setting
}

// key is the place of a setting in the file.
type key struct {
	section, name string
	setting       func(*Settings) *Setting
}

// keys returns all keys of the file.
func keys() []key {
	list := []key{
		{"start", "addresses", func(s *Settings) *Setting { return &s.Addresses }},
		{"start", "cache_grid", func(s *Settings) *Setting { return &s.CacheGrid }},
		{"start", "cache_recent", func(s *Settings) *Setting { return &s.CacheRecent }},
		{"start", "cache_accounts", func(s *Settings) *Setting { return &s.CacheAccounts }},
		{"start", "limit_storage", func(s *Settings) *Setting { return &s.LimitStorage }},
		{"start", "scrub_days", func(s *Settings) *Setting { return &s.ScrubDays }},
		{"start", "client_release_max", func(s *Settings) *Setting { return &s.ClientReleaseMax }},
		{"start", "cluster_key_file", func(s *Settings) *Setting { return &s.ClusterKeyFile }},
		{"start", "connections_per_address", func(s *Settings) *Setting { return &s.PerAddress }},
		{"start", "development", func(s *Settings) *Setting { return &s.Development }},
		{"start", "metrics_address", func(s *Settings) *Setting { return &s.MetricsAddress }},
		{"start", "metrics_pprof", func(s *Settings) *Setting { return &s.MetricsPprof }},
		{"start", "log", func(s *Settings) *Setting { return &s.Log }},
		{"start", "on_upgrade", func(s *Settings) *Setting { return &s.OnUpgrade }},
		{"start", "statsd", func(s *Settings) *Setting { return &s.Statsd }},
		{"start", "trace", func(s *Settings) *Setting { return &s.Trace }},
		{"affinity", "numa_node", func(s *Settings) *Setting { return &s.NumaNode }},
	}
	for stage := range affinity.Stage(affinity.StagesCount) {
		list = append(list, key{"affinity", stage.String(), func(s *Settings) *Setting { return &s.Cores[stage] }})
	}
	return append(list, key{"affinity", "spin", func(s *Settings) *Setting { return &s.Spin }})
}

// Merge returns flags, completed by the settings of file that flags do not have.
func Merge(flags, file Settings) Settings {
	for _, key := range keys() {
		if setting := key.setting(&flags); !setting.IsSet() {
			*setting = *key.setting(&file)
		}
	}
	return flags
}

// fileBytesMax is far more than the size of any real configuration.
const fileBytesMax = 1 << 20

// Load reads the configuration file at path.
func Load(path string) (Settings, error) {
	file, err := os.Open(path)
	if err != nil {
		return Settings{}, &Error{Origin: Flag("config", path).Origin, Err: err}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, fileBytesMax+1))
	if err != nil {
		return Settings{}, &Error{Origin: Flag("config", path).Origin, Err: err}
	}
	if len(text) > fileBytesMax {
		return Settings{}, &Error{Origin: Flag("config", path).Origin, Err: fmt.Errorf("must hold at most %s", sizeWords(fileBytesMax))}
	}
	return ParseFile(path, string(text))
}

// ParseFile reads the text of a configuration file; name is for errors. An unknown key is an error,
// and so is a value that is no string, number or boolean. Resolve checks the values.
func ParseFile(name, text string) (settings Settings, err error) {
	var sections map[string]toml.Primitive
	meta, err := toml.Decode(text, &sections)
	if err != nil {
		if parseError := (toml.ParseError{}); errors.As(err, &parseError) {
			return Settings{}, &Error{Origin: fmt.Sprintf("%s:%d", name, parseError.Position.Line), Err: errors.New(parseError.Message)}
		}
		return Settings{}, &Error{Origin: name, Err: err}
	}
	known := keys()
	for _, path := range meta.Keys() { // in the order of the file, so that the first mistake is reported
		section := path[0]
		value, line := probe(&meta, sections[section])
		if !slices.ContainsFunc(known, func(k key) bool { return k.section == section }) {
			return Settings{}, &Error{Origin: where(name, line) + path.String(), Err: errors.New("is not known: must be [start] or [affinity]")}
		}
		if _, isTable := value.(map[string]any); !isTable {
			return Settings{}, &Error{Origin: where(name, line) + section, Err: fmt.Errorf("must be a section, as in [%s]", section)}
		}
		if len(path) == 1 {
			continue
		}
		var values map[string]toml.Primitive
		if err := meta.PrimitiveDecode(sections[section], &values); err != nil {
			return Settings{}, &Error{Origin: where(name, line) + section, Err: err}
		}
		value, line = probe(&meta, values[path[1]])
		at := slices.IndexFunc(known, func(k key) bool { return k.section == section && k.name == path[1] })
		if at < 0 {
			return Settings{}, &Error{Origin: where(name, line) + "[" + section + "] " + path[1],
				Err: fmt.Errorf("is not known: must be one of %s", names(known, section))}
		}
		setting := known[at].setting(&settings)
		setting.Origin = fmt.Sprintf("%s[%s] %s", where(name, line), section, path[1])
		switch value := value.(type) {
		case string:
			setting.Text = value
			setting.Origin += fmt.Sprintf(" = %q", value)
		case int64, bool:
			setting.Text = fmt.Sprint(value)
			setting.Origin += " = " + setting.Text
		default:
			setting.Origin += " = " + written(value)
			return Settings{}, setting.fail(errors.New("must be a string, a whole number, true or false"))
		}
	}
	return settings, nil
}

// written shows a value of a type that no key has: a number with a fraction, a list, a table, a
// date.
func written(value any) string {
	text, err := json.Marshal(value)
	if err != nil { // inf and nan have no JSON
		return fmt.Sprint(value)
	}
	return string(text)
}

// probed takes any value and refuses it, because only the refusal has the line number.
type probed struct{ value any }

var errProbed = errors.New("probed")

// UnmarshalTOML implements toml.Unmarshaler.
func (p *probed) UnmarshalTOML(value any) error {
	p.value = value
	return errProbed
}

// probe returns the value of primitive and its line, or 0 if the library does not know the line.
func probe(meta *toml.MetaData, primitive toml.Primitive) (value any, line int) {
	var p probed
	err := meta.PrimitiveDecode(primitive, &p)
	if parseError := (toml.ParseError{}); errors.As(err, &parseError) {
		line = parseError.Position.Line
	}
	return p.value, line
}

func where(name string, line int) string {
	if line == 0 {
		return name + ": "
	}
	return fmt.Sprintf("%s:%d: ", name, line)
}

func names(known []key, section string) string {
	var list []string
	for _, key := range known {
		if key.section == section {
			list = append(list, key.name)
		}
	}
	return strings.Join(list, ", ")
}
