module github.com/detcd/detcd

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1 // searches histories for a linearization
	github.com/bgentry/speakeasy v0.2.0 // detcdctl asks for passwords without an echo
	github.com/cespare/xxhash/v2 v2.3.0 // state hash: the same on every platform, unlike hash/maphash
	github.com/coreos/go-systemd/v22 v22.7.0 // --log-outputs=systemd/journal
	github.com/dustin/go-humanize v1.0.1 // detcdctl writes sizes as etcdctl does
	github.com/gorilla/websocket v1.5.3 // frames of the gateway's streams for browsers
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.33.0 // runs the JSON gateway handlers of etcd's api module
	github.com/mattn/go-isatty v0.0.20 // detcd and detcdctl are kinder where a person looks
	github.com/olekukonko/tablewriter v1.1.4 // detcdctl's tables: etcdctl's library at its version, for the same bytes
	github.com/prometheus/client_golang v1.25.0 // /metrics
	github.com/spf13/cobra v1.10.2 // detcdctl's commands
	github.com/spf13/pflag v1.0.10 // detcdctl's flags, cobra's
	github.com/tetratelabs/wazero v1.12.0 // runs the simulator as wasip1, in tests only
	github.com/tidwall/btree v1.8.2 // ordered keys with O(1) copy-on-write copies, and ranks
	go.etcd.io/etcd/api/v3 v3.7.3 // the API: messages, errors, gateway handlers
	go.etcd.io/etcd/client/pkg/v3 v3.7.3 // detcdctl: SRV discovery, the log format
	go.etcd.io/etcd/client/v3 v3.7.3 // end-to-end tests use the stock client
	go.etcd.io/etcd/server/v3 v3.7.3 // the messages of the lock and election services, which the api module lacks
	go.etcd.io/raft/v3 v3.7.0 // v3.7 at least: v3.6 has a stale-read bug
	go.uber.org/zap v1.28.0
	go.yaml.in/yaml/v2 v2.4.4 // --config-file
	golang.org/x/net v0.61.0 // frames of HTTP/2, to tell gRPC from HTTP
	golang.org/x/sys v0.49.0
	google.golang.org/genproto/googleapis/api v0.0.0-20261026165753-2ffab32bce7e // a test reads the JSON gateway's routes with it
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b // the details of gRPC errors, as the gateway writes them
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
	pgregory.net/rapid v1.3.0 // property tests
)

require (
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	github.com/VividCortex/ewma v1.2.0 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cheggaaa/pb/v3 v3.1.7 // indirect
	github.com/clipperhouse/displaywidth v0.11.0 // indirect
	github.com/clipperhouse/uax29/v2 v2.7.0 // indirect
	github.com/cockroachdb/datadriven v1.0.3 // protocol scripts: commands and answers in text files, in tests only
	github.com/coreos/go-semver v0.3.1 // indirect
	github.com/fatih/color v1.19.0 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-runewidth v0.0.23 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/olekukonko/cat v0.0.0-20250911104152-50322a0618f6 // indirect
	github.com/olekukonko/errors v1.2.0 // indirect
	github.com/olekukonko/ll v0.1.6 // indirect
	github.com/pmezard/go-difflib v1.0.1-0.20181226105442-5d4384ee4fb2 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	go.etcd.io/etcd/etcdctl/v3 v3.7.3 // indirect
	go.etcd.io/etcd/pkg/v3 v3.7.3 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.15.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	honnef.co/go/tools v0.8.2 // indirect
)

tool (
	go.etcd.io/etcd/etcdctl/v3
	honnef.co/go/tools/cmd/staticcheck
)
