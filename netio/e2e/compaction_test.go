package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Who compacts to make room looks at the sizes next. Nothing is written in between.
func TestCompaction_APhysicalOneIsDoneWhenItIsAnsweredAndTheSizesSaySo(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	m := c.members[0]
	client := newClient(t, m)
	for _, by := range []struct {
		name    string
		compact func(revision int64) error
	}{
		{"gRPC", func(revision int64) error {
			_, err := client.Compact(t.Context(), revision, clientv3.WithCompactPhysical())
			return err
		}},
		{"HTTP", func(revision int64) error {
			body := fmt.Sprintf(`{"revision":"%d","physical":true}`, revision)
			resp, err := http.Post("http://"+m.client+"/v3/kv/compaction", "application/json", strings.NewReader(body))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s %s", resp.Status, text)
			}
			return nil
		}},
	} {
		large := base64.StdEncoding.EncodeToString(make([]byte, 700<<10))
		var revision int64
		for i := range 20 {
			put, err := client.Put(t.Context(), "k", large+strconv.Itoa(i))
			if err != nil {
				t.Fatal(err)
			}
			revision = put.Header.Revision
		}
		before, err := client.Status(t.Context(), m.client)
		if err != nil {
			t.Fatal(err)
		}
		if before.DbSizeInUse < 15<<20 {
			t.Fatalf("%s: %d bytes in use after 20 large puts", by.name, before.DbSizeInUse)
		}
		if err := by.compact(revision); err != nil {
			t.Fatal(err)
		}
		after, err := client.Status(t.Context(), m.client)
		if err != nil {
			t.Fatal(err)
		}
		if after.DbSizeInUse > 5<<20 {
			t.Errorf("%s: %d bytes in use before, %d after the compaction", by.name, before.DbSizeInUse, after.DbSizeInUse)
		}
		if shown := metric(t, m, "etcd_mvcc_db_total_size_in_use_in_bytes"); shown > 5<<20 {
			t.Errorf("%s: the metrics say %.0f bytes", by.name, shown)
		}
	}
}

// metric returns the value of a metric without labels.
func metric(t *testing.T, m *member, name string) float64 {
	t.Helper()
	text, err := fetch("http://" + m.client + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
