package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// authority issues certificates for the loopback address, as files.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	file string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), pool: x509.NewCertPool()}
	a.file, _, a.cert, a.key = a.sign("authority", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate for both ends of a connection.
func (a *authority) issue(name string) (certFile, keyFile string) {
	a.t.Helper()
	certFile, keyFile, _, _ = a.sign(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return certFile, keyFile
}

func (a *authority) sign(name string, c *x509.Certificate) (certFile, keyFile string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return certFile, keyFile, cert, key
}

// startSecure starts one member whose clients need TLS.
func startSecure(t testing.TB, a *authority, flags ...string) *member {
	t.Helper()
	m := newCluster(t, 1).members[0]
	cert, key := a.issue("server")
	m.flags = append(m.flags, "--listen-client-urls", "https://"+m.client, "--advertise-client-urls", "https://"+m.client, "--cert-file", cert, "--key-file", key)
	m.flags = append(m.flags, flags...)
	m.start()
	awaitLine(t, m, "ready to serve client requests")
	return m
}

// awaitLine waits until the member has logged a line that holds all those words.
func awaitLine(t testing.TB, m *member, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s logs %q", m.name, words), func() error {
		for line := range strings.Lines(m.logText()) {
			found := 0
			for _, word := range words {
				if strings.Contains(line, word) {
					found++
				}
			}
			if found == len(words) {
				return nil
			}
		}
		return fmt.Errorf("no line")
	})
}

// A configuration that net/http has had offers HTTP/1.1, too, and gRPC can't go on with that.
func TestTLS_AClientThatOffersBothVersionsSpeaksGRPC(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	m := startSecure(t, a)
	for _, offered := range [][]string{{"h2", "http/1.1"}, {"http/1.1", "h2"}, nil} {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + m.client}, Logger: zap.NewNop(), TLS: &tls.Config{RootCAs: a.pool, NextProtos: offered}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if _, err := client.Put(ctx, "k", "v"); err != nil {
			t.Errorf("a client that offers %q: %v", offered, err)
		}
		cancel()
		client.Close()
	}
}

// webClient makes requests with that version of HTTP alone.
func webClient(t testing.TB, a *authority, set func(*http.Protocols)) *http.Client {
	versions := new(http.Protocols)
	set(versions)
	transport := &http.Transport{Protocols: versions, TLSClientConfig: &tls.Config{RootCAs: a.pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func TestHTTP2_WhatIsNotGRPCIsAnsweredAsHTTP(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	secure := startSecure(t, a)
	// The same over a connection without TLS is more than stock etcd can do.
	plain := startCluster(t, 1).members[0]
	for _, c := range []struct {
		name, url string
		client    *http.Client
	}{
		{"secure", "https://" + secure.client, webClient(t, a, func(v *http.Protocols) { v.SetHTTP2(true) })},
		{"plain", "http://" + plain.client, webClient(t, a, func(v *http.Protocols) { v.SetUnencryptedHTTP2(true) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "plain" {
				ownFiles(t)
			}
			post := func(path, body string) string {
				t.Helper()
				resp, err := c.client.Post(c.url+path, "application/json", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
					t.Fatalf("%s: %s %s, error %v: %s", path, resp.Proto, resp.Status, err, text)
				}
				return string(text)
			}
			for _, path := range []string{"/version", "/health", "/metrics"} {
				resp, err := c.client.Get(c.url + path)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
					t.Errorf("%s: %s %s", path, resp.Proto, resp.Status)
				}
			}
			// A stream, and requests beside it on the same connection.
			stream, err := c.client.Post(c.url+"/v3/watch", "application/json", strings.NewReader(`{"create_request":{"key":"Zm9v"}}`))
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Body.Close()
			post("/v3/kv/put", `{"key":"Zm9v","value":"YmFy"}`)
			if text := post("/v3/kv/range", `{"key":"Zm9v"}`); !strings.Contains(text, `"value":"YmFy"`) {
				t.Errorf("a range: %s", text)
			}
			var seen strings.Builder
			for buf := make([]byte, 4096); !strings.Contains(seen.String(), `"value":"YmFy"`); {
				n, err := stream.Body.Read(buf)
				seen.Write(buf[:n])
				if err != nil {
					t.Fatalf("a watch: %s, error %v", seen.String(), err)
				}
			}
			askGRPC(t, c.client, c.url)
		})
	}
}

// askGRPC makes a gRPC request by hand over an HTTP client's connection, as a proxy with one connection for all does.
func askGRPC(t *testing.T, client *http.Client, url string) {
	t.Helper()
	message, err := proto.Marshal(&pb.RangeRequest{Key: []byte("foo")})
	if err != nil {
		t.Fatal(err)
	}
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	r, err := http.NewRequest(http.MethodPost, url+"/etcdserverpb.KV/Range", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.Trailer.Get("Grpc-Status") != "0" || !bytes.Contains(answer, []byte("bar")) {
		t.Errorf("a gRPC request: %s, trailer %v, error %v: %q", resp.Status, resp.Trailer, err, answer)
	}
}

// Operators and tests of other projects look for these lines.
func TestTLS_HandshakesThatFailAreLoggedAsEtcdDoes(t *testing.T) {
	t.Parallel()
	a, foreign := newAuthority(t), newAuthority(t)
	m := startSecure(t, a, "--trusted-ca-file", a.file, "--client-cert-auth")
	dial := func(c *tls.Config) {
		t.Helper()
		c.RootCAs, c.ServerName = a.pool, "127.0.0.1"
		conn, err := tls.Dial("tcp", m.client, c)
		if err != nil {
			return // refused at once; with TLS 1.3 the refusal comes later
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the server speaks first")
		}
	}
	// Without a certificate; many times, which is one line and not thousands.
	const attempts = 50
	for range attempts {
		dial(&tls.Config{})
	}
	awaitLine(t, m, `"level":"warn"`, "rejected connection on client endpoint", `"remote-addr":"127.0.0.1:`, `"server-name":""`, "tls: client didn't provide a certificate")
	if n := strings.Count(m.logText(), "client didn't provide a certificate"); !stockEtcd && n == attempts {
		t.Errorf("%d lines about as many connections", n)
	}
	// With one of somebody else.
	cert, key := foreign.issue("client")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	dial(&tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }})
	awaitLine(t, m, "rejected connection on client endpoint", "x509: certificate signed by unknown authority")
	// Without TLS.
	conn, err := net.Dial("tcp", m.client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	awaitLine(t, m, "rejected connection on client endpoint", "tls: first record does not look like a TLS handshake")
}

func TestTLS_MetricsURLWithoutCertificateIsRefusedInEtcdsWords(t *testing.T) {
	t.Parallel()
	m := newCluster(t, 1).members[0]
	m.flags = append(m.flags, "--listen-metrics-urls", fmt.Sprintf("https://127.0.0.1:%d", freePorts(t, 1)[0]))
	refuses(t, m, `client TLS key/cert \(--cert-file, --key-file\) must be provided for metrics secure url`)
}

// Without a file of authorities, those that the system trusts count.
func TestTLS_ClientCertAuthWithoutAuthoritiesTakesTheSystems(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only there a variable says whom the system trusts")
	}
	a, foreign := newAuthority(t), newAuthority(t)
	t.Setenv("SSL_CERT_FILE", a.file)
	m := startSecure(t, a, "--client-cert-auth")
	ask := func(with ...*authority) error {
		config := &tls.Config{RootCAs: a.pool}
		for _, issuer := range with {
			cert, key := issuer.issue("client")
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: time.Minute}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + m.client + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	}
	if err := ask(a); err != nil {
		t.Errorf("a client whom the system's authority vouches for: %v", err)
	}
	if err := ask(foreign); err == nil {
		t.Error("a client whom another authority vouches for was served")
	}
	if err := ask(); err == nil {
		t.Error("a client without a certificate was served")
	}
}
