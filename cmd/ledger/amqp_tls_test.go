package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificates are those of a broker named broker.example, and of the authority that signed it.
type certificates struct {
	port                        string
	authority, certificate, key string // files
}

func newCertificates(t *testing.T) *certificates {
	t.Helper()
	folder := t.TempDir()
	c := &certificates{loopbackPort(t), filepath.Join(folder, "ca.pem"), filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")}
	made := func(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: parent == nil, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	authority, authorityKey, authorityText := made("ledger test", nil, nil)
	_, key, text := made("broker.example", authority, authorityKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{c.authority: authorityText, c.certificate: text,
		c.key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// configuration makes a broker listen for TLS.
func (c *certificates) configuration() []string {
	return []string{"listeners.ssl.default = 127.0.0.1:" + c.port, "ssl_options.cacertfile = " + c.authority,
		"ssl_options.certfile = " + c.certificate, "ssl_options.keyfile = " + c.key, "ssl_options.verify = verify_none"}
}

// Goal: with TLS the broker's certificate is checked, and the error says which flag names the right
// authority or name. A broker that is not there is left for the next one.
func testRabbitTLS(t *testing.T, r *rabbit, c *certificates) {
	s, consumer := harness(t, formatted(t)), fresh(t, r)
	consumer.queue("tls", "", nil)
	moving(t, s, 1, 10)
	nobody := freeAddress(t)
	flags := []string{"--publish-routing-key=tls", "--host=" + nobody + ",127.0.0.1:" + c.port}
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--tls"}, "--tls-ca-file"},
		{[]string{"--tls-ca-file=" + c.authority}, "--tls-server-name"},
		{[]string{"--tls-ca-file=" + c.authority, "--tls-server-name=broker.example"}, ""},
	} {
		arguments := append([]string{"amqp", "--addresses=" + s.port, "--follow=false"}, flags...)
		status, _, messages := ended(t, nil, append(arguments, test.flags...)...)
		if !strings.Contains(messages, "the broker "+nobody+": ") {
			t.Errorf("%s: the first broker was not tried: %s", test.flags, messages)
		}
		switch {
		case test.want == "" && (status != exitDone || consumer.length("tls") != 10):
			t.Errorf("%s: status %d, %d messages: %s", test.flags, status, consumer.length("tls"), messages)
		case test.want != "" && (status != exitRefused || !strings.Contains(messages, test.want)):
			t.Errorf("%s: status %d: %s, want %q", test.flags, status, messages, test.want)
		}
	}
}
