package services

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/detcd/detcd/netio/door/listen"
)

// handshaken are the credentials of connections that have been sorted already, and so have their TLS handshake behind them.
type handshaken struct{}

var _ credentials.TransportCredentials = handshaken{}

// ServerHandshake implements credentials.TransportCredentials: it only tells what the handshake has found.
func (handshaken) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if secured := listen.TLS(c); secured != nil {
		level := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
		return c, credentials.TLSInfo{State: secured.ConnectionState(), CommonAuthInfo: level}, nil
	}
	return c, nil, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (handshaken) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, nil, errors.New("the server dials nobody with these")
}

// Info implements credentials.TransportCredentials.
func (handshaken) Info() credentials.ProtocolInfo { return credentials.ProtocolInfo{} }

// Clone implements credentials.TransportCredentials.
func (h handshaken) Clone() credentials.TransportCredentials { return h }

// OverrideServerName implements credentials.TransportCredentials.
func (handshaken) OverrideServerName(string) error { return nil }
