package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
)

// certificate makes a key pair that vouches for itself, for the loopback address.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTransport_TLS(t *testing.T) {
	own, pool := certificate(t)
	foreign, _ := certificate(t)
	serve := &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	dial := func(c tls.Certificate) func(*Config) {
		return func(config *Config) { config.TLS = &tls.Config{Certificates: []tls.Certificate{c}, RootCAs: pool} }
	}
	a := openOn(t, 1, "https://127.0.0.1:0", serve, dial(own))
	b := openOn(t, 2, "https://127.0.0.1:0", serve, dial(own))
	introduceAll(a, b)
	reach(t, a, b, 2, "secret")
	reach(t, b, a, 1, "secret")
	a.Send(2, port.Bulk, pattern(1<<20, 0))
	b.inbox.wait(t, "a large message", func(all []arrival) bool { return len(all[len(all)-1].payload) == 1<<20 })

	// Someone with another certificate, and someone without TLS.
	for _, c := range []struct {
		url    string
		change func(*Config)
	}{{b.url, dial(foreign)}, {"http" + b.url[len("https"):], nil}} {
		stranger := open(t, 1, c.change)
		before, _ := b.Peer(1)
		stranger.SetPeers([]port.Peer{{ID: 2, URLs: []string{c.url}}})
		eventually(t, "refusals", func() bool {
			s, _ := stranger.Peer(2)
			return s.DialFailures >= 3
		})
		if after, _ := b.Peer(1); after.HeardSince != before.HeardSince {
			t.Error("a stranger took the place of a peer's connection")
		}
	}
}
