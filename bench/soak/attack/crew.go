package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
)

// The attackers are a process of their own with a low priority. On the internet they would have
// machines of their own: here, they must not take the processors from the server and from the
// honest client, whose times would then be those of this machine.

// lowPriority is the priority of the attackers of the command, as for nice(1).
const lowPriority = 10

// crewVariable is an environment variable that makes this program the process of the attackers.
const crewVariable = "MUSTER_ATTACKERS"

// order is what the process of the attackers reads from its standard input. It attacks until that is
// closed.
type order struct {
	Scenarios     []string
	Address, Base string
	Certificate   []byte // that the clients trust, in DER; nil for plain HTTP
	Attackers     int
	Size          float64
}

// outcome is what it writes to its standard output: an empty one when it begins, and one when it has ended.
type outcome struct {
	Events         map[string]int
	Memory, Broken []string
}

// crew is the process of the attackers, as the soak sees it.
type crew struct {
	process *exec.Cmd
	orders  io.WriteCloser
	answers *json.Decoder
}

// startCrew starts the attackers of scenarios.
func (s *stage) startCrew(scenarios []scenario) (*crew, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o := order{Address: s.address, Base: s.base, Certificate: s.certificate, Attackers: s.options.attackers, Size: s.options.size}
	for _, one := range scenarios {
		o.Scenarios = append(o.Scenarios, one.name)
	}
	c := &crew{process: exec.Command("nice", "-n", fmt.Sprint(s.options.nice), self)}
	c.process.Env = append(os.Environ(), crewVariable+"=1")
	c.process.Stderr = os.Stderr
	if c.orders, err = c.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.answers = json.NewDecoder(out)
	if err := c.process.Start(); err != nil {
		return nil, err
	}
	err = json.NewEncoder(c.orders).Encode(o)
	if err == nil {
		err = c.answers.Decode(&outcome{}) // the attack begins
	}
	if err != nil {
		return nil, errors.Join(err, c.process.Process.Kill(), c.process.Wait())
	}
	return c, nil
}

// end ends the attackers and adds what they saw to the stage.
func (c *crew) end(s *stage) error {
	_ = c.orders.Close() // a process that has ended fails below
	var got outcome
	err := c.answers.Decode(&got)
	if err := errors.Join(err, c.process.Wait()); err != nil {
		return fmt.Errorf("the process of the attackers: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for event, n := range got.Events {
		s.events[event] += n
	}
	s.memory = append(s.memory, got.Memory...)
	s.broken = append(s.broken, got.Broken...)
	return nil
}

// runCrew is the process of the attackers, if this is one. It reports whether it is.
func runCrew() (is bool, err error) {
	if os.Getenv(crewVariable) == "" {
		return false, nil
	}
	var o order
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&o); err != nil {
		return true, err
	}
	s, err := o.stage()
	if err != nil {
		return true, err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(outcome{}); err != nil {
		return true, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var attackers sync.WaitGroup
	for _, name := range o.Scenarios {
		one, ok := scenarioByName(name)
		if !ok {
			return true, fmt.Errorf("no scenario %s", name)
		}
		s.begin(ctx, &attackers, one)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return true, err
	}
	stop()
	attackers.Wait()
	return true, out.Encode(outcome{s.events, s.memory, s.broken})
}

// stage returns the stage as far as attackers use it.
func (o *order) stage() (*stage, error) {
	s := newStageAt(o.Address, options{attackers: o.Attackers, size: o.Size})
	s.base = o.Base
	if o.Certificate == nil {
		return s, nil
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, err
	}
	s.secure, err = trusting(o.Certificate, host)
	return s, err
}

// trusting returns a configuration of clients that trust a certificate in DER.
func trusting(certificate []byte, host string) (*tls.Config, error) {
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}, nil
}
