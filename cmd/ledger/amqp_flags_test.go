package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Goal: the brokers of --host, with the usual port of each protocol.
func TestBrokersOf(t *testing.T) {
	for _, test := range []struct {
		text  string
		isTLS bool
		want  []string
	}{
		{"127.0.0.1", false, []string{"127.0.0.1:5672"}},
		{"127.0.0.1:7", true, []string{"127.0.0.1:7"}},
		{"rabbit-a.example,rabbit-b.example:5673", false, []string{"rabbit-a.example:5672", "rabbit-b.example:5673"}},
		{"rabbit.example", true, []string{"rabbit.example:5671"}},
		{"[::1],[fd00::3]:9", true, []string{"[::1]:5671", "[fd00::3]:9"}},
	} {
		if got, err := brokersOf(test.text, test.isTLS); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, error %v, want %q", test.text, got, err, test.want)
		}
	}
	for text, want := range map[string]string{
		"":                                `"" must be HOST, HOST:PORT`,
		"a,,b":                            `"" must be HOST, HOST:PORT`,
		"a:0":                             `"a:0" must be HOST, HOST:PORT`,
		"::1":                             `"::1" must be HOST, HOST:PORT`,
		"5672":                            `"5672" must be HOST, HOST:PORT`,
		"amqps://a":                       `"amqps://a" must be HOST, HOST:PORT`,
		strings.Repeat("a,", 16) + "last": "must be at most 16 brokers, not 17",
	} {
		if got, err := brokersOf(text, false); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %q, error %v, want %s", text, got, err, want)
		}
	}
}

// Goal: flags that do not go together are refused, and the error says what does.
func TestAmqpFlags(t *testing.T) {
	folder := t.TempDir()
	password, empty := filepath.Join(folder, "password"), filepath.Join(folder, "empty")
	for path, text := range map[string]string{password: "secret\nof rabbit\n", empty: "\nsecond line"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ flags, want string }{
		{"", "--publish-exchange and --publish-routing-key: one of them is required"},
		{"--publish-exchange=x --password=p --password-file=" + password, "--password-file=" + password + ": goes without --password"},
		{"--publish-exchange=x --password-file=" + empty, "--password-file=" + empty + ": its first line must have 1 to 255 bytes"},
		{"--publish-exchange=x --tls-ca-file=" + password, "--tls-ca-file=" + password + ": has no certificate in the form of PEM"},
		{"--publish-exchange=x --tls-key=" + password, "--tls-key=" + password + ": needs its certificate, --tls-certificate=FILE"},
		{"--publish-exchange=x --tls-certificate=" + password, "--tls-certificate=" + password + ": needs its key, --tls-key=FILE"},
	} {
		status, _, stderr := ended(t, nil, append([]string{"amqp"}, strings.Fields(test.flags)...)...)
		if status != exitRefused || !strings.HasPrefix(stderr, "ledger: "+test.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d: %s, want %s", test.flags, status, stderr, test.want)
		}
	}
	exchange := "x"
	c := amqpCommand{Host: "a", Vhost: "/", User: "u", PasswordFile: &password, PublishExchange: &exchange, ProgressQueueType: "classic",
		AmqpTimeoutSeconds: "1", TigerbeetleTimeoutSeconds: "2"}
	o, _, err := c.brokerOptions()
	if err != nil || o.Password != "secret" || o.TLS != nil || o.QueueType != "" {
		t.Errorf("%+v, error %v", o, err)
	}
}
