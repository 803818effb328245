package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type pattern struct {
	expr *regexp.Regexp
	with string
}

// patterns of what differs from run to run, or between servers that are equally right.
var (
	always = []pattern{
		{regexp.MustCompile(`took = [0-9.]+[a-zµ]+`), "took = TIME"},
		{regexp.MustCompile(`"took":"[0-9.]+[a-zµ]+"`), `"took":"TIME"`},
		{regexp.MustCompile(`"ID":"\d{10,}"`), `"ID":"LEASE"`}, // chosen by the server
		{regexp.MustCompile(`lease [0-9a-f]{10,16} `), "lease LEASE "},
		{regexp.MustCompile(`office/[0-9a-f]{10,16}`), "office/LEASE"},             // the key of an election
		{regexp.MustCompile(`"TTL":"\d+","grantedTTL"`), `"TTL":"N","grantedTTL"`}, // what is left of it
		{regexp.MustCompile(`remaining\(\d+s\)`), "remaining(Ns)"},
		// etcd leaves the revision out where it cancels a watch itself
		{regexp.MustCompile(`"revision":"\d+",("raft_term":"\d+"},"canceled":true)`), "$1"},
		{regexp.MustCompile(`"(raftIndex|raftAppliedIndex|dbSize|dbSizeInUse|raftUsedBytes)":("?)\d+("?)`), `"$1":${2}N$3`},
		// endpoint status, simple form: sizes and raft indexes
		{regexp.MustCompile(`, \d[\d.]* [kMG]?B, \d[\d.]* [kMG]?B, -?\d+%, (.*), \d+, \d+, `), ", N, N, N, $1, N, N, "},
	}
	// With several members elections may need more than one round.
	severalMembers = append(slices.Clip(always),
		pattern{regexp.MustCompile(`"(raft_term|raftTerm)":("?)\d+("?)`), `"$1":${2}TERM$3`},
		pattern{regexp.MustCompile(`"RaftTerm" : \d+`), `"RaftTerm" : TERM`},
		pattern{regexp.MustCompile(`"leader":("?)(MEMBER\d)("?)`), `"leader":${1}LEADER$3`},
	)
	// variableColumns of etcdctl's tables.
	variableColumns = []string{"RAFT INDEX", "RAFT APPLIED INDEX", "DB SIZE", "IN USE", "PERCENTAGE NOT IN USE", "TOOK"}
	electionColumns = []string{"RAFT TERM", "IS LEADER"}
)

// json takes out of a JSON body what the library that wrote it changes from build to build: the spaces. Of an error it leaves what etcd 3.7
// writes, code and message: detcd adds what older clients read, which is checked here.
func (s *script) json(status int, body []byte) string {
	var failure struct {
		Code     int    `json:"code"`
		GRPCCode int    `json:"grpc_code"`
		Message  string `json:"message"`
		Error    string `json:"error"`
	}
	if status >= 400 && json.Unmarshal(body, &failure) == nil && failure.Code != 0 {
		if !stockEtcd && (failure.Error != failure.Message || failure.GRPCCode != failure.Code) {
			s.t.Errorf("an error body without error or grpc_code for older clients: %s", body)
		}
		return fmt.Sprintf("code %d: %s", failure.Code, strings.ReplaceAll(failure.Message, "\u00a0", " "))
	}
	var compact bytes.Buffer
	if json.Compact(&compact, body) != nil {
		return string(body)
	}
	return compact.String()
}

// normalise replaces what differs from run to run.
func (s *script) normalise(answer string) string {
	answer = s.variable.Replace(answer)
	for _, p := range s.patterns {
		answer = p.expr.ReplaceAllString(answer, p.with)
	}
	if strings.HasPrefix(answer, "┌") || strings.HasPrefix(answer, "+-") {
		answer = normaliseTable(answer, len(s.cluster.members) > 1)
	}
	return answer
}

// normaliseTable writes a table of etcdctl with one space around each cell, and N in the columns that differ from run to run.
func normaliseTable(table string, several bool) string {
	var out strings.Builder
	var header []string
	for line := range strings.Lines(table) {
		line = strings.TrimSuffix(line, "\n")
		separator := "│"
		if strings.HasPrefix(line, "|") {
			separator = "|"
		} else if !strings.HasPrefix(line, separator) {
			out.WriteString(regexp.MustCompile(`[─-]+`).ReplaceAllString(line, "-") + "\n")
			continue
		}
		cells := strings.Split(strings.Trim(line, separator), separator)
		for i := range cells {
			cells[i] = strings.Join(strings.Fields(cells[i]), " ")
		}
		if header == nil {
			header = cells
		} else {
			for i := range cells {
				if slices.Contains(variableColumns, header[i]) || several && slices.Contains(electionColumns, header[i]) {
					cells[i] = "N"
				}
			}
		}
		out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return out.String()
}

func endLine(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// splitWords splits a command line at spaces, except within quotes.
func splitWords(t *testing.T, line string) (words []string) {
	t.Helper()
	var word strings.Builder
	inWord, quote := false, rune(0)
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inWord = r, true
		case quote == 0 && r == ' ':
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		t.Fatalf("no end of the quotes in %q", line)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}
