package main

import (
	"flag"
	"os"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "record testdata/tape.json anew: stock etcdctl against the stock etcd that DETCD_CTL_SERVER names")

// asCommand makes a process of the test binary be detcdctl, so that tests see what scripts see: output, exit code, signals.
const asCommand = "DETCD_TEST_AS_CTL"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	flag.Parse()
	os.Exit(m.Run())
}
