package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/oserror"
	"muster/internal/share"
)

// countingListener accepts connections within the limits of connections.
type countingListener struct {
	net.Listener
	server *Server
}

// Accept implements [net.Listener]. It closes connections beyond the limits at once. If the process
// has no file descriptor left, it closes an idle connection and accepts again.
func (l countingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			if counted := l.server.admit(c); counted != nil {
				return counted, nil
			}
		case !oserror.IsOutOfFiles(err) || !l.server.connections.EvictIdle():
			return nil, err // net/http waits and accepts again if it is temporary
		}
	}
}

// countedConn is a connection that counts until it is closed.
type countedConn struct {
	net.Conn
	mu      sync.Mutex // guards holding until it is set
	holding *share.Holding
}

// admit counts a connection, or closes it and returns nil. It is idle until it has sent a request.
func (s *Server) admit(c net.Conn) *countedConn {
	counted := &countedConn{Conn: c}
	counted.mu.Lock()
	defer counted.mu.Unlock()
	h, err := s.takeConnection(s.peer(c.RemoteAddr()), counted)
	if err != nil {
		s.countRefusal(RefusedConnection)
		_ = c.Close()
		return nil
	}
	h.SetIdle(true)
	counted.holding = h
	return counted
}

// takeConnection counts a connection of a client, for which one of another client may be closed. For a
// client that floods the server, none is.
func (s *Server) takeConnection(peer client.Client, c *countedConn) (*share.Holding, error) {
	if s.clients.isShut(peer) {
		return nil, share.ErrLimit
	}
	return s.connections.Take(peer, 1, func() { _ = c.Close() })
}

// peer returns the client that a connection counts for. The connections of a proxy are those of
// many clients, so they count for none of them.
func (s *Server) peer(from net.Addr) client.Client {
	address := addressOf(from)
	if s.trusts(address) {
		return client.Client{}
	}
	return client.Of(auth.Anonymous, address)
}

// Close implements [net.Conn].
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding.Return()
	return err
}

// CloseWrite tells the client that no more bytes follow.
func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }

// noteState notes whether a connection of net/http is idle.
func noteState(c net.Conn, state http.ConnState) {
	counted := countedOf(c)
	if counted == nil {
		return
	}
	switch state {
	case http.StateActive:
		counted.holding.SetIdle(false)
	case http.StateIdle:
		counted.holding.SetIdle(true)
	}
}

// countedOf returns the counted connection below a connection of net/http.
func countedOf(c net.Conn) *countedConn {
	switch c := c.(type) {
	case *countedConn:
		return c
	case *connection:
		return countedOf(c.Conn)
	case *recorder:
		return countedOf(c.Conn)
	case *tls.Conn:
		return countedOf(c.NetConn())
	}
	return nil
}
