package socketio

import (
	"context"
	"io"

	"github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/engine"
	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io/v2/socket"
)

// The module finds its transports in a global map. Ours take the place of its
// own there, for our requests only: a request that did not come through a
// Server is served as before.
func init() {
	all := transports.Transports()
	all[transports.WEBSOCKET] = builder{all[transports.WEBSOCKET], func(h *handshake, ctx *types.HttpContext) transports.Transport {
		return newWebSocket(h, ctx)
	}}
	all[transports.POLLING] = builder{all[transports.POLLING], func(h *handshake, ctx *types.HttpContext) transports.Transport {
		return newPolling(h, ctx)
	}}
}

type builder struct {
	transports.TransportCtor
	ours func(*handshake, *types.HttpContext) transports.Transport
}

func (b builder) New(ctx *types.HttpContext) transports.Transport {
	if h, ok := ctx.Request().Context().Value(handshakeKey{}).(*handshake); ok {
		return b.ours(h, ctx)
	}
	return b.TransportCtor.New(ctx)
}

// A handshake is a request on its way through the module, with what the
// module's transport constructors need to know of it.
type handshake struct {
	c       *Conn
	upgrade bool       // of a connection that began with long-polling
	ws      *webSocket // made by the module, if it got that far
}

type handshakeKey struct{}

func (h *handshake) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, handshakeKey{}, h)
}

// ownedBy finds our half of a connection.
func ownedBy(e engine.Socket) *Conn {
	if t, ok := e.Transport().(interface{ conn() *Conn }); ok {
		return t.conn()
	}
	return nil
}

// newModule makes the module's server and hooks ours into it.
func newModule(s *Server, o *Options) *socket.Server {
	names := types.NewSet(transports.WEBSOCKET)
	if o.Polling {
		names.Add(transports.POLLING)
	}
	opts := socket.DefaultServerOptions()
	opts.SetServeClient(false)
	opts.SetPingInterval(o.PingInterval)
	opts.SetPingTimeout(o.PingTimeout)
	opts.SetConnectTimeout(s.limits.ConnectTimeout)
	opts.SetUpgradeTimeout(s.limits.ConnectTimeout)
	opts.SetMaxHttpBufferSize(int64(s.limits.Packet))
	opts.SetTransports(names)
	opts.SetAllowUpgrades(o.Polling)
	opts.SetAllowEIO3(false)

	io := socket.NewServer(nil, opts)
	s.engine = io.ServeHandler(nil)
	// After the module's own listener, so that its half is complete.
	io.Engine().On("connection", func(args ...any) {
		e := args[0].(engine.Socket)
		if c := ownedBy(e); c != nil {
			s.opened(c, e)
		}
	})
	io.Use(func(sock *socket.Socket, next func(*socket.ExtendedError)) {
		c := ownedBy(sock.Conn())
		if c == nil {
			next(socket.NewExtendedError("not admitted", nil))
			return
		}
		if refusal := c.authorize(string(sock.Id())); refusal != nil {
			next(socket.NewExtendedError(refusal.Message, map[string]any{
				"ok": false, "code": string(refusal.Code), "message": refusal.Message,
			}))
			return
		}
		next(nil)
	})
	io.On("connection", func(args ...any) {
		sock := args[0].(*socket.Socket)
		if c := ownedBy(sock.Conn()); c != nil {
			c.join()
		}
		// The module forgets a client that leaves in the very moment in which
		// it is admitted; it would keep the socket for ever.
		if sock.Conn().ReadyState() == "closed" {
			sock.Disconnect(false)
		}
	})
	return io
}

// encodePacket encodes what the module sends. WsPreEncodedFrame, which it sets
// for broadcasts, is a copy of Data.
func encodePacket(p *packet.Packet) []byte {
	frame := []byte{engineTypes[p.Type]}
	if p.Data == nil {
		return frame
	}
	data, err := io.ReadAll(p.Data)
	if err != nil { // in-memory readers have none
		return frame
	}
	return append(frame, data...)
}

var engineTypes = map[packet.Type]byte{
	packet.OPEN: '0', packet.CLOSE: '1', packet.PING: '2', packet.PONG: '3',
	packet.MESSAGE: '4', packet.UPGRADE: '5', packet.NOOP: '6',
}

// packetData is a text for the module to read: it tells text from binary by
// the type.
func packetData(text string) io.Reader { return types.NewStringBufferString(text) }
