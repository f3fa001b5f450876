//go:build race

package socketio

// raceDetector: the detector slows the server down severalfold.
const raceDetector = true
