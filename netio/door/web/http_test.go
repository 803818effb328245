package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/detcd/detcd/netio/door/doortest"
)

func TestHTTP_ABodyThatStallsIsGivenUp(t *testing.T) {
	_, address, _ := fronted(t, nil)
	defer func(d time.Duration) { bodyTimeout = d }(bodyTimeout)
	bodyTimeout = 50 * time.Millisecond
	c := doortest.Connect(t, address)
	c.Post("/v3/kv/put", "", "Transfer-Encoding: chunked")
	c.Send("5\r\n{\"key\r\n")
	if status, _ := c.Head(); status != "504 Gateway Timeout" {
		t.Error(status)
	}
}

func TestHTTP_AnAbortedAnswerIsNoWholeOne(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half an ans")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	server.Start()
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("taken for whole: %q", b)
	}
}
