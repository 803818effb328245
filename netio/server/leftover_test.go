package server

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// What can be refused without the data directory is refused before there is one: whoever mends the flags starts afresh.
func TestStart_RefusedBeforeItBegan_LeavesNoDataDirectory(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	inUse := []url.URL{{Scheme: "http", Host: busy.Addr().String()}}
	socket := filepath.Join(t.TempDir(), "s")
	busySocket, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer busySocket.Close()
	secure := []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	for name, change := range map[string]func(c *Config){
		"the port for clients is in use":   func(c *Config) { c.ListenClientURLs = inUse },
		"the port for metrics is in use":   func(c *Config) { c.ListenMetricsURLs = inUse },
		"the port for members is in use":   func(c *Config) { c.ListenPeerURLs = inUse },
		"the socket for members is in use": func(c *Config) { c.ListenPeerURLs = []url.URL{{Scheme: "unix", Path: socket}} },
		"no certificate for clients":       func(c *Config) { c.ListenClientURLs = secure },
		"no certificate for members":       func(c *Config) { c.ListenPeerURLs = secure },
		"a certificate for clients is missing": func(c *Config) {
			c.ListenClientURLs = secure
			c.ClientTLS.CertFile, c.ClientTLS.KeyFile = "no.pem", "no.key"
		},
		"a certificate for members is missing": func(c *Config) { c.ListenPeerURLs = secure; c.PeerTLS.CertFile, c.PeerTLS.KeyFile = "no.pem", "no.key" },
		"a port is in use, with certificates to be made": func(c *Config) {
			c.ListenClientURLs, c.ClientTLS.Auto, c.PeerTLS.Auto = secure, true, true
			c.ListenPeerURLs = inUse
		},
	} {
		c := loopback(t)
		c.DataDir = filepath.Join(t.TempDir(), "data")
		change(&c)
		if s, err := Start(c); err == nil {
			t.Errorf("%s: it starts", name)
			_ = s.Close(t.Context())
		}
		if _, err := os.Stat(c.DataDir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a data directory is left behind: %v", name, err)
		}
	}
}
