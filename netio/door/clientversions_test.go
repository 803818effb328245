package door

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/detcd/detcd/netio/door/doortest"
)

// sayVersion makes a request of a client that says to be of some version, written by hand: gRPC's own client checks what it sends.
func sayVersion(t *testing.T, address, version string) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := http.Client{Transport: &http.Transport{Protocols: protocols}}
	defer client.CloseIdleConnections()
	emptyMessage := make([]byte, 5)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/etcdserverpb.Maintenance/Status", bytes.NewReader(emptyMessage))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	r.Header.Set(rpctypes.MetadataClientAPIVersionKey, version)
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
}

// A client may say anything. Each version is a line of metrics for ever, and what is no text can't be shown as one.
func TestClientVersions_WhatIsNoVersionIsUnknown(t *testing.T) {
	address := opened(t, doortest.NewSingle(), nil)
	for _, version := range []string{"3.7", "\xff\xfe", strings.Repeat("3", 1000), `3.6"} 1`, ""} {
		sayVersion(t, address, version)
	}
	status, text, _ := body(t, http.MethodGet, "http://"+address+"/metrics", nil)
	if status != http.StatusOK {
		t.Fatalf("/metrics is answered %d: %.300s", status, text)
	}
	var got []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "etcd_server_client_requests_total{") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := fmt.Sprint([]string{
		`etcd_server_client_requests_total{client_api_version="3.7",type="unary"} 1`, `etcd_server_client_requests_total{client_api_version="unknown",type="unary"} 4`,
	})
	if fmt.Sprint(got) != want {
		t.Errorf("%v\nwant %s", got, want)
	}
}
