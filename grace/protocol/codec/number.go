package codec

import (
	"strconv"

	"initgrace/grace/protocol/sio"
)

// Fractions here are milliseconds and shares of a whole. They are read and
// written by simple means, since strconv's, exact to the last bit, are 30 KB of
// a browser's download.

// appendFloat writes a number to six decimals; one that JSON does not have
// becomes null, one of more than 18 digits the largest of those.
func appendFloat(b []byte, v float64) []byte {
	const parts = 1e6
	if v-v != 0 { // infinite, or not a number
		return append(b, "null"...)
	}
	if v < 0 {
		b, v = append(b, '-'), -v
	}
	whole := int64(min(v, 1e18-1))
	rest := int64((min(v, 1e18-1)-float64(whole))*parts + 0.5)
	if rest == parts {
		whole, rest = whole+1, 0
	}
	b = strconv.AppendInt(b, whole, 10)
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for unit := int64(parts / 10); rest > 0; unit /= 10 {
		b = append(b, byte('0'+rest/unit))
		rest %= unit
	}
	return b
}

// parseFloat reads a JSON number. Of one with more than 15 digits the last may be
// off.
func parseFloat(data []byte) (v float64, ok bool) {
	if !sio.Valid(data) || data[0] != '-' && (data[0] < '0' || data[0] > '9') {
		return 0, false
	}
	i, exponent, negative := 0, 0, data[0] == '-'
	if negative {
		i++
	}
	for point := false; i < len(data); i++ {
		switch c := data[i]; {
		case c == '.':
			point = true
			continue
		case c < '0' || c > '9':
			exponent += parseExponent(data[i+1:])
			i = len(data)
			continue
		default:
			v = v*10 + float64(c-'0')
		}
		if point {
			exponent--
		}
	}
	for exponent != 0 && v != 0 && v-v == 0 {
		step := min(max(exponent, -22), 22)
		if exponent -= step; step > 0 {
			v *= power(step)
		} else {
			v /= power(-step)
		}
	}
	if negative {
		v = -v
	}
	return v, v-v == 0
}

// power is the n-th power of ten, exact up to 22: one step with it loses nothing
// for numbers of up to 15 digits.
func power(n int) float64 {
	p := 1.0
	for range n {
		p *= 10
	}
	return p
}

// parseExponent reads what stands behind the E of a valid number, as far as
// that matters.
func parseExponent(data []byte) (n int) {
	sign := 1
	for _, c := range data {
		switch {
		case c == '-':
			sign = -1
		case c != '+':
			n = min(n*10+int(c-'0'), 10_000)
		}
	}
	return sign * n
}

// parseUint reads a whole JSON number without sign, of at most 64 bits.
func parseUint(data []byte) (n uint64, ok bool) {
	if len(data) == 0 || len(data) > 1 && data[0] == '0' {
		return 0, false
	}
	for _, c := range data {
		d := uint64(c - '0')
		if c < '0' || c > '9' || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// parseInt reads a whole JSON number.
func parseInt(data []byte) (int64, bool) {
	if len(data) > 0 && data[0] == '-' {
		n, ok := parseUint(data[1:])
		return -int64(n), ok && n <= 1<<63
	}
	n, ok := parseUint(data)
	return int64(n), ok && n < 1<<63
}
