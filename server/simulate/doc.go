// Package simulate measures how often the server is wrong about its
// participants. It starts native participants (package wasmclient) in pairs,
// each behind a network of its own (package faultproxy), lets a script happen
// to them, and compares what their partners are told with the truth, which it
// knows to the instant because it did the damage itself.
//
// # The script
//
// Every pair plays all that can be survived, in an order of its own, until the
// experiment is over: declared blocks in one piece and in several, undeclared
// ones shorter than BlockedTimeout, bad networks, networks that go and come
// back, resets, refreshes; while playing and while frozen under a lease. In two
// of three pairs one of the two then dies, so that a third of all do. Things
// happen to one of a pair at a time, since who is frozen or cut off is told
// nothing; but some loads are of both at once. The script depends on the seed,
// the policy and the duration only.
//
// # The verdict
//
// What counts is what the partner is told (partner_state), and when.
//
// A false drop is a participant who is told to be
//
//   - away, although nothing is wrong with the connection and either the page or
//     the browser answers;
//   - away, after the network came back and a round trip worked again, for longer
//     than a death may take to be noticed;
//   - gone, although the participant came back within the time for which the
//     policy holds a seat, or the page was frozen without a lease for no longer
//     than BlockedTimeout;
//   - gone before that time was over, even if nobody would have come back.
//
// A missed death is a participant who died, or was cut off for longer than
// SilenceTimeout, and whose partner was not told in time; or whose seat was not
// given up when the hold was over. In time means what the policy promises and
// one and a half ProbeIntervals:
//
//	how                                            promised
//	cut silently, half open in either direction    SilenceTimeout after the cut
//	reset, closed, killed                          at once
//	frozen without a lease                         BlockedAfter and a probe after the freeze,
//	                                               gone BlockedTimeout after it
//	frozen for longer than the lease               when the lease runs out,
//	                                               gone BlockedTimeout later
//
// The table tells when the partner heard the first word that something is wrong
// (away, gone, and blocked of a page that is frozen for ever), and when the seat
// was given up.
//
// # Pace
//
// All times of the script, the policy and the participants' clients are divided
// by Options.Scale. The report multiplies what it measured, so that it can be
// read beside the policy. The machine is not scaled: a run on a busy one shows
// its delays that many times larger, and the report says how large they were.
package simulate
