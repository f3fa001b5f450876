// Makes the process in which its page runs known (process_test.go).
postMessage("ready");
