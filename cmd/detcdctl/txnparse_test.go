package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

func TestParseCompare_Targets(t *testing.T) {
	for line, want := range map[string]clientv3.Cmp{
		`value("k") = "v"`:        clientv3.Compare(clientv3.Value("k"), "=", "v"),
		`val("k") != "a b"`:       clientv3.Compare(clientv3.Value("k"), "!=", "a b"),
		`version("k") > "3"`:      clientv3.Compare(clientv3.Version("k"), ">", 3),
		`ver("k") < "3"`:          clientv3.Compare(clientv3.Version("k"), "<", 3),
		`create("k") = "0"`:       clientv3.Compare(clientv3.CreateRevision("k"), "=", 0),
		`c("k") = "-1"`:           clientv3.Compare(clientv3.CreateRevision("k"), "=", -1),
		`mod("a\"b\x00") > "7"`:   clientv3.Compare(clientv3.ModRevision("a\"b\x00"), ">", 7),
		`m("k")    =    "7"`:      clientv3.Compare(clientv3.ModRevision("k"), "=", 7),
		"val(`k`) = `v`":          clientv3.Compare(clientv3.Value("k"), "=", "v"),
		`lease("k") = "0"`:        clientv3.Compare(clientv3.LeaseValue("k"), "=", 0),
		`lease("k") = "694d7f00"`: clientv3.Compare(clientv3.LeaseValue("k"), "=", 0x694d7f00),
	} {
		got, err := parseCompare(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if g, w := got.GetCompare(), want.GetCompare(); !proto.Equal(g, w) {
			t.Errorf("%s: %v, want %v", line, g, w)
		}
	}
}

// An operator that does not exist, and the id of a lease, make etcdctl panic; here they are an error and a comparison.
func TestParseCompare_SaysWhatIsWrong(t *testing.T) {
	for line, want := range map[string]string{
		`nonsense`:          `malformed comparison: nonsense`,
		`size("k") = "1"`:   `malformed comparison: size("k") = "1" (unknown target size)`,
		`mod ("k") = "1"`:   `malformed comparison: mod ("k") = "1" (unknown target mod )`,
		`mod("k") = "one"`:  `invalid txn compare request: mod("k") = "one"`,
		`lease("k") = "zz"`: `invalid txn compare request: lease("k") = "zz"`,
		`mod("k") ~ "1"`:    `malformed comparison: mod("k") ~ "1" (unknown operator ~)`,
		`mod("k")="1"`:      `malformed comparison: mod("k")="1"; got mod("k")  ""`,
		`mod(k) = "1"`:      `malformed comparison: mod(k) = "1"; got mod("")  ""`,
	} {
		_, err := parseCompare(line)
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
}

func TestParseRequest_TakesTheCommandsAndTheirFlags(t *testing.T) {
	for line, want := range map[string]clientv3.Op{
		`put k v`:                        clientv3.OpPut("k", "v"),
		`put k "a \"b\""`:                clientv3.OpPut("k", `a "b"`),
		`put 'k k' 'a "b"'`:              clientv3.OpPut("k k", `a "b"`),
		`put -- -k -v`:                   clientv3.OpPut("-k", "-v"),
		`put k --ignore-value --prev-kv`: clientv3.OpPut("k", "", clientv3.WithIgnoreValue(), clientv3.WithPrevKV()),
		`put --lease=1f k v`:             clientv3.OpPut("k", "v", clientv3.WithLease(31)),
		`p k v`:                          clientv3.OpPut("k", "v"),
		`get k`:                          clientv3.OpGet("k"),
		`g --prefix k`:                   clientv3.OpGet("k", clientv3.WithPrefix()),
		`get a b --rev 3 --limit=2`:      clientv3.OpGet("a", clientv3.WithRange("b"), clientv3.WithRev(3), clientv3.WithLimit(2)),
		`get "" --from-key`:              clientv3.OpGet("\x00", clientv3.WithFromKey()),
		`del k`:                          clientv3.OpDelete("k"),
		`del a b`:                        clientv3.OpDelete("a", clientv3.WithRange("b")),
		`de --prefix k --prev-kv`:        clientv3.OpDelete("k", clientv3.WithPrefix(), clientv3.WithPrevKV()),
	} {
		got, err := parseRequest(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		same := got.IsPut() == want.IsPut() && got.IsGet() == want.IsGet() && got.IsDelete() == want.IsDelete() &&
			string(got.KeyBytes()) == string(want.KeyBytes()) && string(got.RangeBytes()) == string(want.RangeBytes()) &&
			string(got.ValueBytes()) == string(want.ValueBytes()) && got.Rev() == want.Rev() && got.Limit() == want.Limit()
		if !same {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}

func TestParseRequest_ExitCodes(t *testing.T) {
	for line, want := range map[string]int{
		`get`:                       exitInvalidInput,
		`jump over`:                 exitInvalidInput,
		`get k --no-such-flag`:      exitInvalidInput,
		`get -h k`:                  exitInvalidInput,
		`put "bad \q" v`:            exitInvalidInput,
		`put k`:                     exitBadArgs,
		`put k v --lease=zz`:        exitBadArgs,
		`get k --prefix --from-key`: exitBadArgs,
		`get k --order=up`:          exitBadFeature,
		`"" k`:                      exitInvalidInput,
	} {
		_, err := section(bufio.NewReader(strings.NewReader(line+"\n\n")), parseRequest)
		var f failure
		if !errors.As(err, &f) || f.code != want {
			t.Errorf("%s: %v (exit %d), want exit %d", line, err, f.code, want)
		}
	}
}

func TestSection_EndsAtAnEmptyLineOnly(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("  put a 1  \r\nput b 2\n \nget a\n"))
	first, err := section(in, parseRequest)
	if err != nil || len(first) != 2 {
		t.Fatalf("%d requests, %v", len(first), err)
	}
	if _, err := section(in, parseRequest); !errors.Is(err, io.EOF) {
		t.Fatalf("half a section is taken for a whole one: %v", err)
	}
}
