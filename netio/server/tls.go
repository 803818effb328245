package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// TLS is how one kind of connection is secured: with clients, or between members.
type TLS struct {
	// CertFile and KeyFile are this side's certificate. They are read at each handshake, so they can be renewed while the member runs.
	CertFile, KeyFile string
	// DialCertFile and DialKeyFile, unless empty, take their place when this member dials.
	DialCertFile, DialKeyFile string
	// TrustedCAFile holds the authorities that the other side's certificate must come from; empty: those that the system trusts.
	// ClientCertAuth demands a certificate of the other side. A TrustedCAFile does so, too, as with etcd.
	TrustedCAFile  string
	ClientCertAuth bool
	// CRLFile lists revoked certificates. If AllowedCNs or AllowedHostnames are not empty, the other side's certificate must have one of these
	// names.
	CRLFile                      string
	AllowedCNs, AllowedHostnames []string
	// Auto makes a self-signed certificate at the first start, valid for AutoYears.
	Auto      bool
	AutoYears uint
	// CipherSuites are ids for TLS 1.2; MinVersion and MaxVersion as in crypto/tls, 0: Go's choice.
	CipherSuites           []uint16
	MinVersion, MaxVersion uint16
}

// Enabled says whether there is a certificate to serve with.
func (t *TLS) Enabled() bool { return t.CertFile != "" && t.KeyFile != "" }

// check says what is missing, before anything is started.
func (t *TLS) check() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return fmt.Errorf("KeyFile and CertFile must both be present[key: %v, cert: %v]", t.KeyFile, t.CertFile)
	}
	if len(t.AllowedCNs) > 0 && len(t.AllowedHostnames) > 0 {
		return fmt.Errorf("AllowedCNs and AllowedHostnames are mutually exclusive (cns=%q, hostnames=%q)", t.AllowedCNs, t.AllowedHostnames)
	}
	return nil
}

// base returns what the configurations for listening and for dialling have in common.
func (t *TLS) base() (*tls.Config, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	min := t.MinVersion
	if min == 0 {
		min = tls.VersionTLS12
	}
	c := &tls.Config{MinVersion: min, MaxVersion: t.MaxVersion, CipherSuites: t.CipherSuites}
	if t.CRLFile != "" || len(t.AllowedCNs) > 0 || len(t.AllowedHostnames) > 0 {
		c.VerifyConnection = t.verify
	}
	return c, nil
}

// server returns the configuration to listen with.
func (t *TLS) server() (*tls.Config, error) {
	c, err := t.base()
	if err != nil {
		return nil, err
	}
	if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
		return nil, err
	}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load(t.CertFile, t.KeyFile) }
	if t.TrustedCAFile != "" {
		if c.ClientCAs, err = pool(t.TrustedCAFile); err != nil {
			return nil, err
		}
	}
	if t.TrustedCAFile != "" || t.ClientCertAuth {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// client returns the configuration to dial with.
func (t *TLS) client() (*tls.Config, error) {
	c, err := t.base()
	if err != nil {
		return nil, err
	}
	cert, key := t.CertFile, t.KeyFile
	if t.DialCertFile != "" {
		cert, key = t.DialCertFile, t.DialKeyFile
	}
	if cert != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load(cert, key) }
	}
	if t.TrustedCAFile != "" {
		if c.RootCAs, err = pool(t.TrustedCAFile); err != nil {
			return nil, err
		}
	}
	// A certificate that the peer has made itself comes from no authority, so it can't be checked. (etcd does the same.)
	c.InsecureSkipVerify = t.Auto && t.TrustedCAFile == ""
	return c, nil
}

func load(cert, key string) (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func pool(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return p, nil
}

// verify checks what no authority vouches for: whether the other side's certificate was revoked, and whether its name is allowed.
func (t *TLS) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	if err := t.checkRevoked(s.PeerCertificates); err != nil {
		return err
	}
	leaf := s.PeerCertificates[0]
	if len(t.AllowedCNs) > 0 && !slices.Contains(t.AllowedCNs, leaf.Subject.CommonName) {
		return fmt.Errorf("client certificate authentication failed: common name %q is not allowed", leaf.Subject.CommonName)
	}
	if len(t.AllowedHostnames) > 0 && !slices.ContainsFunc(t.AllowedHostnames, func(h string) bool { return leaf.VerifyHostname(h) == nil }) {
		return errors.New("client certificate authentication failed: it holds no allowed host name")
	}
	return nil
}

// checkRevoked reads the list at each handshake, so it can be renewed while the member runs.
func (t *TLS) checkRevoked(certs []*x509.Certificate) error {
	if t.CRLFile == "" {
		return nil
	}
	data, err := os.ReadFile(t.CRLFile)
	if err != nil {
		return err
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	list, err := x509.ParseRevocationList(data)
	if err != nil {
		return fmt.Errorf("%s: %w", t.CRLFile, err)
	}
	for _, c := range certs {
		for _, r := range list.RevokedCertificateEntries {
			if bytes.Equal(r.SerialNumber.Bytes(), c.SerialNumber.Bytes()) {
				return fmt.Errorf("certificate with serial number %s is revoked", c.SerialNumber)
			}
		}
	}
	return nil
}

// makeAuto makes the self-signed certificate of Auto below dir, unless an earlier start has made it, and has CertFile and KeyFile name it. If the
// configuration names files, these are used instead.
func (t *TLS) makeAuto(dir string, hosts []string) error {
	if !t.Auto || t.Enabled() {
		return nil
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
		t.CertFile, t.KeyFile = certFile, keyFile
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	now := time.Now()
	cert := x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"detcd"}},
		NotBefore:             now,
		NotAfter:              now.AddDate(int(max(t.AutoYears, 1)), 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, h := range hosts {
		if host, _, err := net.SplitHostPort(h); err == nil {
			h = host
		}
		if ip := net.ParseIP(h); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else if h != "" {
			cert.DNSNames = append(cert.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &cert, &cert, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	t.CertFile, t.KeyFile = certFile, keyFile
	return nil
}
