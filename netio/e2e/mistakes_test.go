package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
)

// What a client does that is unusual, or wrong, gets an answer that fits it.

func TestGzip_IsTakenUpToTheLimitOfWhatItHolds(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints(c.members), Logger: zap.NewNop(), MaxCallSendMsgSize: 64 << 20,
		DialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	value := strings.Repeat("0123456789", 1000)
	if _, err := client.Put(ctx, "a", value); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(ctx, "a"); err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != value {
		t.Errorf("%v, error %v", got, err)
	}
	watched := client.Watch(ctx, "a", clientv3.WithRev(1))
	if r := <-watched; len(r.Events) != 1 || string(r.Events[0].Kv.Value) != value {
		t.Errorf("a watch of it: %v", r)
	}
	// Three megabytes that are a few kilobytes on the wire.
	_, err = client.Put(ctx, "large", strings.Repeat("0", 3<<20))
	if s := status.Convert(err); s.Code() != codes.ResourceExhausted || !strings.Contains(s.Message(), "message after decompression larger than max") {
		t.Errorf("a request that is too large once it is unpacked: %v", err)
	}
}

func TestGateway_ABodyThatIsNoneIsTheClientsMistake(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	const chunked = "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	const counted = "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n"
	for _, request := range []struct{ name, text, says string }{
		{"no chunk at all", chunked + "zz\r\n", "invalid byte in chunk length"},
		{"a chunk that is longer than it says", chunked + "5\r\n{\"key\":\r\n0\r\n\r\n", "malformed chunked encoding"},
		{"a chunk of any length", chunked + strings.Repeat("f", 19) + "\r\n", "http chunk length too large"},
		{"a chunk that breaks off", chunked + "9\r\n{\"k", "unexpected EOF"},
		{"a body that breaks off", counted + "{\"key\"", "unexpected EOF"},
	} {
		conn, err := net.Dial("tcp", c.members[0].client)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request.text); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", request.name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), fmt.Sprintf("%q", request.says)) || !strings.Contains(string(body), `"code":3`) {
			t.Errorf("%s: %s %s", request.name, resp.Status, body)
		}
	}
}
