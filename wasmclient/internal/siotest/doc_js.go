// Package siotest has nothing for js.
package siotest
