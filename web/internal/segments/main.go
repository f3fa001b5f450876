// Command segments makes a program smaller that Go compiled to WebAssembly: a
// tenth less to download.
//
//	go run ./web/internal/segments bin/loader.wasm
//
// Go's linker leaves every eight zeros out of the program's data and begins a new
// segment behind them. In a table with one entry for each 4 KiB of addresses, of
// which a function in WebAssembly takes 64 KiB, that makes 50,000 segments, each
// with its address: less than the zeros, but they compress to nothing and
// addresses do not. Here segments are joined, with the zeros between them.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// far is how many zeros are not worth to be downloaded and held.
const far = 1024

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "segments:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("the program's file is wanted")
	}
	module, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	joined, err := join(module)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[0], joined, 0o755)
}

const (
	header      = "\x00asm\x01\x00\x00\x00"
	dataSection = 11
)

// join is the module with fewer data segments and the same memory.
func join(module []byte) ([]byte, error) {
	if len(module) < len(header) || string(module[:len(header)]) != header {
		return nil, errors.New("this is no WebAssembly, version 1")
	}
	out := []byte(header)
	for r := (reader{rest: module[len(header):]}); len(r.rest) > 0; {
		id := r.byte()
		section := r.bytes(r.uint())
		if r.err != nil {
			return nil, r.err
		}
		if id == dataSection {
			segments, err := parse(section)
			if err != nil {
				return nil, err
			}
			section = encode(merge(segments))
		}
		out = append(out, id)
		out = binary.AppendUvarint(out, uint64(len(section)))
		out = append(out, section...)
	}
	return out, nil
}

// A segment is copied to its address when the program starts.
type segment struct {
	address int64
	data    []byte
}

// Of what a data segment may be, only what Go's linker makes: active, in the
// first memory, at a constant address.
const (
	active   = 0
	i32Const = 0x41
	end      = 0x0b
)

func parse(section []byte) ([]segment, error) {
	r := reader{rest: section}
	count := r.uint()
	var segments []segment
	for len(r.rest) > 0 && r.err == nil {
		if kind, op := r.byte(), r.byte(); kind != active || op != i32Const {
			return nil, errors.New("a data segment of a kind that Go's linker does not make")
		}
		s := segment{address: r.int()}
		if r.byte() != end {
			return nil, errors.New("a data segment at an address that is computed")
		}
		s.data = r.bytes(r.uint())
		segments = append(segments, s)
	}
	if r.err == nil && uint64(len(segments)) != count {
		r.fail()
	}
	return segments, r.err
}

// merge joins neighbours. Others, and those that overlap, stay as they are and in
// their order.
func merge(segments []segment) (merged []segment) {
	for _, s := range segments {
		if len(merged) > 0 {
			last := &merged[len(merged)-1]
			if gap := s.address - last.address - int64(len(last.data)); gap >= 0 && gap < far {
				last.data = append(append(last.data, make([]byte, gap)...), s.data...)
				continue
			}
		}
		merged = append(merged, segment{s.address, bytes.Clone(s.data)})
	}
	return merged
}

func encode(segments []segment) []byte {
	out := binary.AppendUvarint(nil, uint64(len(segments)))
	for _, s := range segments {
		out = append(out, active, i32Const)
		out = appendInt(out, s.address)
		out = append(out, end)
		out = binary.AppendUvarint(out, uint64(len(s.data)))
		out = append(out, s.data...)
	}
	return out
}

// appendInt appends a signed LEB128, which encoding/binary does not have: its own
// signed numbers are of another kind.
func appendInt(out []byte, n int64) []byte {
	for ; n < -64 || n > 63; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n)&0x7f)
}

// A reader takes a module apart, as far as it is whole.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() {
	r.rest, r.err = nil, errors.New("the file is cut off or damaged")
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) int() (n int64) {
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		n |= int64(b&0x7f) << shift
		if b < 0x80 {
			if b&0x40 != 0 {
				n |= -1 << (shift + 7)
			}
			return n
		}
	}
	r.fail()
	return 0
}
