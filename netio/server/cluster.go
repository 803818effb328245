package server

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/port"
)

// founders reads the flags about the cluster that this member founds. It returns the members and the ids that follow from them. It checks that
// this member is among them, with the URLs that it advertises. Its errors are in etcd's words.
func founders(c *Config) (self port.MemberID, cluster uint64, peers []node.Peer, err error) {
	byName, names, err := parseCluster(c.InitialCluster)
	if err != nil {
		return 0, 0, nil, err
	}
	if len(names) == 0 {
		return 0, 0, nil, errors.New("initial cluster unset and no discovery endpoints found")
	}
	if _, ok := byName[c.Name]; !ok {
		return 0, 0, nil, fmt.Errorf("couldn't find local name %q in the initial cluster configuration", c.Name)
	}
	if err := checkAdvertised(c, byName[c.Name]); err != nil {
		return 0, 0, nil, err
	}
	seen := map[string]bool{}
	var ids []port.MemberID
	for _, name := range names {
		urls := byName[name]
		for _, u := range urls {
			if seen[u] {
				return 0, 0, nil, fmt.Errorf("initial cluster %s has duplicate url", c.InitialCluster)
			}
			seen[u] = true
		}
		p := node.Peer{ID: node.MemberIDFor(urls, c.InitialClusterToken), Name: name, PeerURLs: urls}
		if name == c.Name {
			self = p.ID
		}
		ids = append(ids, p.ID)
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b node.Peer) int { return cmp.Compare(a.ID, b.ID) })
	return self, node.ClusterIDFor(ids), peers, nil
}

// parseCluster reads name=URL,name=URL,…. A name may come again, with another URL of the same member. The result has names in the order in which they
// came first, and sorted URLs.
func parseCluster(text string) (byName map[string][]string, names []string, err error) {
	byName = map[string][]string{}
	for _, entry := range strings.Split(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, address, found := strings.Cut(entry, "=")
		if !found || name == "" || address == "" {
			return nil, nil, fmt.Errorf("empty URL given for %q", name)
		}
		u, err := url.Parse(address)
		if err != nil {
			return nil, nil, err
		}
		if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix" && u.Scheme != "unixs" {
			return nil, nil, fmt.Errorf("URL scheme must be http, https, unix, or unixs: %s", address)
		}
		if _, ok := byName[name]; !ok {
			names = append(names, name)
		}
		byName[name] = append(byName[name], u.String())
	}
	for _, name := range names {
		slices.Sort(byName[name])
	}
	return byName, names, nil
}

// checkAdvertised compares the peer URLs that this member advertises with those that the cluster has for it.
func checkAdvertised(c *Config, inCluster []string) error {
	var advertised []string
	for i := range c.AdvertisePeerURLs {
		advertised = append(advertised, c.AdvertisePeerURLs[i].String())
	}
	slices.Sort(advertised)
	with := func(urls []string) string { return c.Name + "=" + strings.Join(urls, ","+c.Name+"=") }
	if missing := without(inCluster, advertised); len(missing) > 0 {
		return fmt.Errorf("--initial-cluster has %s but missing from --initial-advertise-peer-urls=%s", with(missing), strings.Join(advertised, ","))
	}
	if missing := without(advertised, inCluster); len(missing) > 0 {
		return fmt.Errorf("--initial-advertise-peer-urls has %s but missing from --initial-cluster=%s", strings.Join(missing, ","), c.InitialCluster)
	}
	return nil
}

// without returns what is in a, and not in b.
func without(a, b []string) (left []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			left = append(left, s)
		}
	}
	return left
}
