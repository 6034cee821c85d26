package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"ledger/amqp"
	"ledger/cdc"
	"ledger/config"
	"ledger/feed"
)

// amqpCommand has the flags of the reference's job, with their names. --host takes names and
// several brokers; the flags for TLS, --password-file, and those of all our jobs are ours.
type amqpCommand struct {
	jobFlags `embed:""`

	Host         string  `default:"127.0.0.1" placeholder:"LIST" help:"Brokers, as HOST or HOST:PORT with commas between; the next one is tried when one fails. The port is 5672, or 5671 with TLS."`
	Vhost        string  `default:"/" placeholder:"NAME" help:"Virtual host of the broker."`
	User         string  `default:"guest" placeholder:"NAME" help:"User of the broker, by the PLAIN mechanism."`
	Password     *string `placeholder:"TEXT" help:"Password of the user. All users of this machine can see it; --password-file hides it. Default: guest."`
	PasswordFile *string `placeholder:"FILE" help:"File whose first line is the password. Default: none."`

	PublishExchange   *string `placeholder:"NAME" help:"Exchange that takes the events. It must be there. Default: the default exchange, whose routing key is the name of a queue."`
	PublishRoutingKey *string `placeholder:"KEY" help:"Routing key of the events. Default: none; this or --publish-exchange is required."`

	ProgressQueueType string `default:"classic" placeholder:"TYPE" help:"Type of the queue that keeps the progress: classic, or quorum, which survives the loss of a broker."`

	Tls            bool    `default:"false" help:"Speak TLS with the broker. The other flags of TLS mean it as well."`
	TlsCaFile      *string `placeholder:"FILE" help:"Certificates (PEM) of the authorities that may sign the broker's. Default: those of this machine."`
	TlsServerName  *string `placeholder:"NAME" help:"Name in the broker's certificate. Default: the host."`
	TlsCertificate *string `placeholder:"FILE" help:"Certificate (PEM) of this job, with --tls-key. Default: none."`
	TlsKey         *string `placeholder:"FILE" help:"Key (PEM) of --tls-certificate. Default: none."`

	AmqpTimeoutSeconds        string `default:"30" placeholder:"N" help:"Seconds that an answer of the broker may take, until the connection is given up and the next broker tried."`
	TigerbeetleTimeoutSeconds string `default:"30" placeholder:"N" help:"Seconds that an answer of the server may take, until a message says so and the request is repeated."`
	Verbose                   bool   `default:"false" help:"Tell of each batch."`
}

const (
	brokersMax     = 16
	shortStringMax = 255 // bytes of a short string of the protocol
	timeoutSMax    = 24 * 60 * 60
)

func (c *amqpCommand) Run(s *streams) error {
	options, serverTimeout, err := c.brokerOptions()
	if err != nil {
		return err
	}
	job, err := c.job(s)
	if err != nil {
		return err
	}
	defer job.close()
	job.servers.Timeout = serverTimeout
	options.Cluster, options.EventsMax, options.Messages = job.cluster, job.options.RowsMax, s.err
	if c.TimestampLast != nil {
		options.TimestampLast = &job.options.TimestampLast
	}
	options.Changed = func(state amqp.State) { job.meter.SetState(meterStates[state]) }
	if c.Verbose {
		progress := job.options.Progress
		job.options.Progress = func(result feed.Result) {
			progress(result)
			fmt.Fprintf(s.err, "%d events are confirmed, the last timestamp is %d\n", result.Count, result.Last)
		}
	}
	sink := amqp.NewSink(job.ctx, options)
	defer sink.Close()
	last, err := sink.Start()
	if err != nil {
		if job.ctx.Err() != nil {
			err = nil
		}
		return job.ended("amqp", feed.Result{Last: last}, err)
	}
	job.options.TimestampLast = last
	result, err := feed.Run(job.ctx, cdc.Events(job.lag.Fetch), cdc.Metered(job.meter, sink), job.options)
	return job.ended("amqp", result, err)
}

// meterStates are the states of a sink as its meter knows them.
var meterStates = [...]int{amqp.Connecting: cdc.Connecting, amqp.Standby: cdc.Standby, amqp.Publishing: cdc.Writing}

// brokerOptions are those about the broker, from the flags.
func (c *amqpCommand) brokerOptions() (o amqp.Options, serverTimeout time.Duration, err error) {
	o.VirtualHost, o.User, o.Password = c.Vhost, c.User, "guest"
	for _, text := range []struct {
		flag  string
		value *string
		to    *string
		min   int
	}{{"vhost", &c.Vhost, &o.VirtualHost, 1}, {"user", &c.User, &o.User, 1}, {"password", c.Password, &o.Password, 1},
		{"publish-exchange", c.PublishExchange, &o.Exchange, 0}, {"publish-routing-key", c.PublishRoutingKey, &o.RoutingKey, 0}} {
		if text.value == nil {
			continue
		}
		if len(*text.value) < text.min || len(*text.value) > shortStringMax || strings.ContainsRune(*text.value, 0) {
			return o, 0, fmt.Errorf("--%s=%s: must have %d to %d bytes, none of them 0", text.flag, *text.value, text.min, shortStringMax)
		}
		*text.to = *text.value
	}
	amqpS, serverS := uint32(0), uint32(0)
	for _, number := range []countFlag{{"amqp-timeout-seconds", &c.AmqpTimeoutSeconds, &amqpS, 1, timeoutSMax},
		{"tigerbeetle-timeout-seconds", &c.TigerbeetleTimeoutSeconds, &serverS, 1, timeoutSMax}} {
		if err := number.read(); err != nil {
			return o, 0, err
		}
	}
	o.Timeout = time.Duration(amqpS) * time.Second
	switch c.ProgressQueueType {
	case "classic": // as the reference declares it: the argument is left out
	case amqp.QueueQuorum:
		o.QueueType = c.ProgressQueueType
	default:
		return o, 0, fmt.Errorf("--progress-queue-type=%s: must be classic or quorum", c.ProgressQueueType)
	}
	if err := c.readPassword(&o); err != nil {
		return o, 0, err
	}
	if o.TLS, err = c.tlsConfig(); err != nil {
		return o, 0, err
	}
	if o.Brokers, err = brokersOf(c.Host, o.TLS != nil); err != nil {
		return o, 0, fmt.Errorf("--host=%s: %w", c.Host, err)
	}
	if o.Exchange == "" && o.RoutingKey == "" {
		return o, 0, errors.New("--publish-exchange and --publish-routing-key: one of them is required; without an exchange, the routing " +
			"key is the name of a queue")
	}
	return o, time.Duration(serverS) * time.Second, nil
}

// readPassword reads the file of the password, if it is named.
func (c *amqpCommand) readPassword(o *amqp.Options) error {
	if c.PasswordFile == nil {
		return nil
	}
	if c.Password != nil {
		return fmt.Errorf("--password-file=%s: goes without --password", *c.PasswordFile)
	}
	text, err := os.ReadFile(*c.PasswordFile)
	if err != nil {
		return fmt.Errorf("--password-file=%s: %w", *c.PasswordFile, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" || len(line) > shortStringMax {
		return fmt.Errorf("--password-file=%s: its first line must have 1 to %d bytes", *c.PasswordFile, shortStringMax)
	}
	o.Password = line
	return nil
}

// brokersOf reads a list of HOST or HOST:PORT.
func brokersOf(text string, isTLS bool) (list []string, err error) {
	port := amqp.PortPlain
	if isTLS {
		port = amqp.PortTLS
	}
	for item := range strings.SplitSeq(text, ",") {
		withPort := item
		if at := strings.LastIndexByte(item, ':'); at < 0 || strings.HasSuffix(item, "]") {
			withPort = net.JoinHostPort(strings.Trim(item, "[]"), port)
		}
		address, err := config.ParseAddress(withPort)
		if err != nil {
			return nil, fmt.Errorf("%q must be HOST, HOST:PORT or [v6]:PORT of a broker: %w", item, err)
		}
		list = append(list, address.String())
	}
	if len(list) > brokersMax {
		return nil, fmt.Errorf("must be at most %d brokers, not %d", brokersMax, len(list))
	}
	return list, nil
}

// tlsConfig is what TLS needs; nil if it is not wanted.
func (c *amqpCommand) tlsConfig() (*tls.Config, error) {
	if !c.Tls && c.TlsCaFile == nil && c.TlsServerName == nil && c.TlsCertificate == nil && c.TlsKey == nil {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TlsCaFile != nil {
		text, err := os.ReadFile(*c.TlsCaFile)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca-file=%s: %w", *c.TlsCaFile, err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--tls-ca-file=%s: has no certificate in the form of PEM", *c.TlsCaFile)
		}
	}
	if c.TlsServerName != nil {
		address, err := config.ParseAddress(net.JoinHostPort(*c.TlsServerName, amqp.PortTLS))
		if err != nil || address.Host != *c.TlsServerName {
			return nil, fmt.Errorf("--tls-server-name=%s: must be the name or the IP address in the broker's certificate", *c.TlsServerName)
		}
		t.ServerName = *c.TlsServerName
	}
	switch {
	case c.TlsCertificate == nil && c.TlsKey == nil:
	case c.TlsKey == nil:
		return nil, fmt.Errorf("--tls-certificate=%s: needs its key, --tls-key=FILE", *c.TlsCertificate)
	case c.TlsCertificate == nil:
		return nil, fmt.Errorf("--tls-key=%s: needs its certificate, --tls-certificate=FILE", *c.TlsKey)
	default:
		pair, err := tls.LoadX509KeyPair(*c.TlsCertificate, *c.TlsKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-certificate=%s: --tls-key=%s: %w", *c.TlsCertificate, *c.TlsKey, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
