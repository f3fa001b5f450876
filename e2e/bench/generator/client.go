package generator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// A client is one participant over any number of connections.
type client struct {
	participant, group string
	from               net.IP // the loopback address that it comes from

	frozen, dead atomic.Bool
	loads        int // begun

	mu    sync.Mutex // of what follows, and of writing
	conn  *net.TCPConn
	acks  map[uint64]func(data []byte)
	next  uint64
	frame []byte
	out   []byte
	token string

	// on is told of events, on the reading goroutine; data is only lent. It is
	// set while nothing is under way.
	on     atomic.Pointer[func(event string, data []byte)]
	unread int // bytes of events since the server was last told, the reader's
	seq    uint64
}

// session is what a server says first.
type session struct {
	Token    string `json:"token"`
	Restored bool   `json:"restored"`
	SceneID  string `json:"scene_id"`
}

// connect makes a connection and returns its session. The context bounds it.
func (c *client) connect(ctx context.Context, addr string) (s session, err error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: c.from}}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return s, err
	}
	conn := nc.(*net.TCPConn)
	hello := make(chan session, 1)
	ended := make(chan error, 1)
	go func() { ended <- c.read(conn, addr, hello) }()
	select {
	case s = <-hello:
		return s, nil
	case err = <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	conn.Close()
	return s, err
}

// read is a connection's life.
func (c *client) read(conn *net.TCPConn, addr string, hello chan<- session) error {
	defer func() {
		conn.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.conn == conn {
			c.conn = nil
		}
	}()
	if _, err := io.WriteString(conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: "+addr+
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 2048)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the server answers %s", answer.Status)
	}
	var buf []byte
	for {
		opcode, data, err := readFrame(in, buf)
		if err != nil {
			return err
		}
		buf = data[:0]
		if c.dead.Load() {
			continue
		}
		switch opcode {
		case opPing:
			c.write(conn, opPong, data)
			continue
		case opClose:
			c.write(conn, opClose, data)
			return errors.New("the server closed the connection")
		case opText:
		default:
			continue
		}
		if len(data) == 0 {
			continue
		}
		switch kind := data[0]; {
		case kind == '0': // open
			auth, _ := json.Marshal(map[string]any{
				"participant": c.participant, "group": c.group, "page_id": "page-" + c.participant, "token": c.token, "seq": c.seq,
			})
			c.write(conn, opText, append([]byte("40"), auth...))
		case kind == '2': // ping
			if !c.frozen.Load() {
				c.write(conn, opText, []byte("3"))
			}
		case kind != '4' || len(data) < 2:
		case data[1] == '2':
			if err := c.event(conn, data[2:], hello); err != nil {
				return err
			}
		case data[1] == '3':
			c.ack(data[2:])
		case data[1] == '4':
			return fmt.Errorf("refused: %s", data[2:])
		}
	}
}

func (c *client) event(conn *net.TCPConn, array []byte, hello chan<- session) error {
	array = bytes.TrimLeft(array, "0123456789")
	if len(array) < 4 || array[0] != '[' || array[1] != '"' {
		return fmt.Errorf("an event %.40q", array)
	}
	end := bytes.IndexByte(array[2:], '"')
	if end < 0 {
		return fmt.Errorf("an event %.40q", array)
	}
	event, data := string(array[2:2+end]), bytes.TrimLeft(array[2+end+1:len(array)-1], ", ")
	if event == "session" {
		var s session
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		c.mu.Lock()
		c.conn, c.token, c.acks = conn, s.Token, make(map[uint64]func([]byte))
		c.mu.Unlock()
		hello <- s
		return nil
	}
	if on := c.on.Load(); on != nil {
		(*on)(event, data)
	}
	// What the page has read it says as the loader does.
	if c.unread += len(array); event == "message" && c.unread > 24<<10 {
		c.unread = 0
		seq := uint64(0)
		if i := bytes.Index(data, []byte(`"seq":`)); i >= 0 {
			seq, _ = number(data[i+len(`"seq":`):])
		}
		c.seq = seq
		c.write(conn, opText, fmt.Appendf(nil, `42["ping",{"seq":%d}]`, seq))
	}
	return nil
}

func (c *client) ack(data []byte) {
	id, rest := number(data)
	c.mu.Lock()
	f := c.acks[id]
	delete(c.acks, id)
	c.mu.Unlock()
	if f != nil {
		f(rest)
	}
}

// number reads a number from the front of b.
func number(b []byte) (n uint64, rest []byte) {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	for len(b) > 0 && '0' <= b[0] && b[0] <= '9' {
		n = n*10 + uint64(b[0]-'0')
		b = b[1:]
	}
	return n, b
}

// emit sends an event with an object, and has f called with its ack. After the
// connection's end nothing is sent and nothing comes.
func (c *client) emit(event, object string, f func(data []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return
	}
	id := c.next
	c.next++
	c.acks[id] = f
	b := append(c.frame[:0], "42"...)
	b = strconv.AppendUint(b, id, 10)
	b = append(b, `["`...)
	b = append(b, event...)
	b = append(b, `",`...)
	b = append(b, object...)
	b = append(b, ']')
	c.frame = b
	c.put(c.conn, opText, b)
}

// ask emits and waits for the ack.
func (c *client) ask(ctx context.Context, event, object string) ([]byte, error) {
	answer := make(chan []byte, 1)
	c.emit(event, object, func(data []byte) { answer <- bytes.Clone(data) })
	select {
	case data := <-answer:
		if !bytes.Contains(bytes.ReplaceAll(data, []byte(" "), nil), []byte(`"ok":true`)) {
			return nil, fmt.Errorf("%s: %s", event, data)
		}
		return data, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", event, ctx.Err())
	}
}

// connected says whether the server has not closed the connection.
func (c *client) connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil
}

// leave closes the connection as a browser does when its tab is closed.
func (c *client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.put(c.conn, opClose, []byte{1001 >> 8, 1001 & 0xff})
		c.conn = nil
	}
}

// reset loses the connection, with nothing said.
func (c *client) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.SetLinger(0)
		c.conn.Close()
		c.conn = nil
	}
}

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

func (c *client) write(conn *net.TCPConn, opcode byte, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(conn, opcode, data)
}

// put writes a frame, masked by zeros: it costs the server what any mask costs.
// An error is the reader's to find.
func (c *client) put(conn *net.TCPConn, opcode byte, data []byte) {
	var header [14]byte
	header[0] = 0x80 | opcode
	n := 2
	if len(data) < 126 {
		header[1] = 0x80 | byte(len(data))
	} else {
		header[1] = 0x80 | 126
		binary.BigEndian.PutUint16(header[2:], uint16(len(data)))
		n = 4
	}
	c.out = append(append(c.out[:0], header[:n+4]...), data...)
	conn.Write(c.out)
}

// readFrame reads an unfragmented frame into buf, which may grow.
func readFrame(in *bufio.Reader, buf []byte) (opcode byte, data []byte, err error) {
	var head [8]byte
	if _, err = io.ReadFull(in, head[:2]); err != nil {
		return 0, nil, err
	}
	opcode, size := head[0]&0x0f, uint64(head[1]&0x7f)
	switch size {
	case 126:
		_, err = io.ReadFull(in, head[:2])
		size = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(in, head[:8])
		size = binary.BigEndian.Uint64(head[:])
	}
	switch {
	case err != nil:
		return 0, nil, err
	case size > 1<<20:
		return 0, nil, fmt.Errorf("a frame of %d bytes", size)
	}
	if uint64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	_, err = io.ReadFull(in, buf)
	return opcode, buf, err
}
