package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Programs that wait until a member is healthy ask for its version next, and parse it.
func TestStart_AHealthyMemberKnowsTheClusterVersion(t *testing.T) {
	t.Parallel()
	for _, members := range []int{1, 1, 1, 3} {
		c := newCluster(t, members)
		for _, m := range c.members {
			m.flags = append(m.flags, "--listen-metrics-urls", fmt.Sprintf("http://127.0.0.1:%d", freePorts(t, 1)[0]))
			m.start()
		}
		for i, m := range c.members {
			// By either door: the one for health checks is open before the other.
			door := m.client
			if i%2 == 0 {
				door = strings.TrimPrefix(m.flags[len(m.flags)-1], "http://")
			}
			eventually(t, m.name+" is healthy", func() error {
				_, err := fetch("http://" + door + "/health")
				return err
			})
			version, err := fetch("http://" + m.client + "/version")
			if err != nil || !strings.Contains(version, `"etcdcluster":"3.7.0"`) {
				t.Errorf("%s of %d is healthy, its version is %s, error %v", m.name, members, version, err)
			}
			if text, err := fetch("http://" + door + "/readyz"); err != nil {
				t.Errorf("%s of %d is healthy, and is not ready: %s, %v", m.name, members, text, err)
			}
		}
	}
}

// fetch returns what a URL says with status 200.
func fetch(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}
