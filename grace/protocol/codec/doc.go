// Package codec reads and writes the payloads of package protocol without
// reflection. A browser downloads the client's every byte, and encoding/json,
// with fmt and reflect behind it, would be a quarter of them.
//
// It reads and writes what encoding/json would, with these differences: names
// of fields are matched exactly, a text is not escaped for HTML, a number that
// JSON does not have becomes null, and what is passed through (protocol.Raw)
// stays as it is, byte for byte.
package codec
