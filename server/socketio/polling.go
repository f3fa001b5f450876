package socketio

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"
	"initgrace/grace/protocol/sio"
)

// A polling is our transport for HTTP long-polling. The module sees its
// handshake; the later requests are served here, because the module's own
// transport loses packets over 64 KiB, reads chunked bodies without a limit
// and leaves some requests unanswered for ever.
type polling struct {
	transports.Transport

	c       *Conn
	open    *types.HttpContext // the handshake's request, until it is answered
	getting atomic.Bool
	posting atomic.Bool
	moved   chan struct{} // closed when a WebSocket has taken over
}

func newPolling(h *handshake, ctx *types.HttpContext) *polling {
	p := &polling{Transport: transports.MakeTransport(), c: h.c, moved: make(chan struct{})}
	p.Prototype(p)
	p.Construct(ctx)
	p.SetWritable(true)
	h.c.polling = p
	return p
}

func (p *polling) Name() string { return transports.POLLING }
func (p *polling) conn() *Conn  { return p.c }

// OnRequest is called by the module for the handshake alone.
func (p *polling) OnRequest(ctx *types.HttpContext) { p.open = ctx }

func (p *polling) Send(packets []*packet.Packet) {
	// During an upgrade the module sends NOOP to get rid of a waiting GET. If
	// none waits, it would only lie in the queue.
	if len(packets) != 1 || packets[0].Type != packet.NOOP || p.getting.Load() {
		p.c.send(packets)
	}
	p.Emit("drain")
}

// DoClose leaves the closing to Conn.end; see webSocket.DoClose.
func (p *polling) DoClose(done types.Callable) {
	if done != nil {
		done()
	}
}

// answerOpen answers the handshake.
func (p *polling) answerOpen() {
	ctx := p.open
	p.open = nil
	ctx.ResponseHeaders.Set("Content-Type", "text/plain; charset=UTF-8")
	ctx.SetStatusCode(http.StatusOK)
	if _, err := ctx.Write(bytes.Join(p.c.out.takePoll(), []byte{sio.Separator})); err != nil {
		p.c.end(Cause{Kind: Lost, Detail: "handshake: " + err.Error()}, nil)
	}
}

// handedOver lets a waiting GET go: the WebSocket has taken over.
func (p *polling) handedOver() { close(p.moved) }

// get answers a GET when there is something to send.
func (p *polling) get(w http.ResponseWriter, r *http.Request) {
	if p.c.out.isEnded() {
		p.c.srv.deny(w, badRequest, http.StatusBadRequest, errSID)
		return
	}
	if !p.getting.CompareAndSwap(false, true) {
		p.c.refuse(overlap, "two GET requests at the same time")
		httpError(w, http.StatusBadRequest, errBadRequest)
		return
	}
	frames, ok := p.await(r)
	// Before the answer: the next GET may come over another TCP connection as
	// soon as the client has it.
	p.getting.Store(false)
	switch {
	case !ok:
		p.c.end(Cause{Kind: Lost, Detail: "the poll was aborted"}, nil)
		return
	case len(frames) == 0: // a WebSocket has taken over; a client that upgrades does not poll
		httpError(w, http.StatusBadRequest, errBadRequest)
		return
	}
	body := bytes.Join(frames, []byte{sio.Separator})
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Now().Add(p.c.srv.limits.WriteTimeout))
	_, err := w.Write(body)
	if err == nil {
		err = rc.Flush()
	}
	if err != nil {
		p.c.end(Cause{Kind: Lost, Detail: "poll: " + err.Error()}, nil)
		return
	}
	rc.SetWriteDeadline(time.Time{}) // it would outlive this request
}

// await waits for frames. It reports false if the client has gone away.
func (p *polling) await(r *http.Request) (frames [][]byte, ok bool) {
	written := p.c.out.written()
	for {
		if frames := p.c.out.takePoll(); len(frames) > 0 {
			return frames, true
		}
		select {
		case <-p.c.out.poll:
		case <-p.moved:
			return nil, true
		case <-written:
			return [][]byte{{byte(sio.Close)}}, true
		case <-r.Context().Done():
			return nil, false
		}
	}
}

// maxPackets is how many packets one POST may carry. Each is paced besides.
const maxPackets = 16 << 10

// post takes the packets of a POST.
func (p *polling) post(w http.ResponseWriter, r *http.Request) {
	if !p.posting.CompareAndSwap(false, true) {
		p.c.refuse(overlap, "two POST requests at the same time")
		httpError(w, http.StatusBadRequest, errBadRequest)
		return
	}
	defer p.posting.Store(false)
	defer p.c.recovered("reading")
	limits := p.c.srv.limits
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(limits.WriteTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limits.Packet)))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		p.c.refuse(tooLarge, "a request body of more than "+strconv.Itoa(limits.Packet)+" bytes")
		httpError(w, http.StatusRequestEntityTooLarge, errBadRequest)
		return
	case err != nil:
		p.c.end(Cause{Kind: Lost, Detail: "post: " + err.Error()}, nil)
		httpError(w, http.StatusBadRequest, errBadRequest)
		return
	case r.Header.Get("Content-Type") == "application/octet-stream":
		p.c.refuse(binaryFrame, "a binary request body")
	default:
		p.packets(body)
	}
	if p.c.wasRefused() {
		httpError(w, http.StatusBadRequest, errBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html") // as the reference has it, for old browsers
	io.WriteString(w, "ok")
}

func (p *polling) packets(body []byte) {
	p.c.pace(&p.c.bytes, len(body))
	frames, err := sio.SplitPayload(body, maxPackets)
	if err != nil {
		p.c.undecodable(err)
		return
	}
	for _, f := range frames {
		p.c.receive(p, f)
	}
}
