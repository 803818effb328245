package show

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Get shows the answer to a range request.
func Get(r *clientv3.GetResponse) Answer { return rangeAnswer((*pb.RangeResponse)(r)) }

// Put shows the answer to a put.
func Put(r *clientv3.PutResponse) Answer { return putAnswer((*pb.PutResponse)(r)) }

// Delete shows the answer to a delete.
func Delete(r *clientv3.DeleteResponse) Answer { return deleteAnswer((*pb.DeleteRangeResponse)(r)) }

func rangeAnswer(r *pb.RangeResponse) Answer {
	return Answer{
		message: r,
		simple:  func(w *simpleWriter) { w.keyValues(r.GetKvs()) },
		fields: func(w *fieldsWriter) {
			w.header(r.GetHeader())
			for _, kv := range r.GetKvs() {
				w.keyValue("", kv)
			}
			w.value("More", r.GetMore())
			w.value("Count", r.GetCount())
		},
	}
}

func putAnswer(r *pb.PutResponse) Answer {
	return Answer{
		message: r,
		simple: func(w *simpleWriter) {
			w.line("OK")
			if r.GetPrevKv() != nil {
				w.keyValue(r.GetPrevKv())
			}
		},
		fields: func(w *fieldsWriter) {
			w.header(r.GetHeader())
			if r.GetPrevKv() != nil {
				w.keyValue("Prev", r.GetPrevKv())
			}
		},
	}
}

func deleteAnswer(r *pb.DeleteRangeResponse) Answer {
	return Answer{
		message: r,
		simple: func(w *simpleWriter) {
			w.line(r.GetDeleted())
			w.keyValues(r.GetPrevKvs())
		},
		fields: func(w *fieldsWriter) {
			w.header(r.GetHeader())
			w.value("Deleted", r.GetDeleted())
			for _, kv := range r.GetPrevKvs() {
				w.keyValue("Prev", kv)
			}
		},
	}
}

// Txn shows the answer to a transaction.
func Txn(r *clientv3.TxnResponse) Answer { return txnAnswer((*pb.TxnResponse)(r)) }

func txnAnswer(r *pb.TxnResponse) Answer {
	return Answer{
		message: r,
		value:   txnJSON(r),
		simple: func(w *simpleWriter) {
			if r.GetSucceeded() {
				w.line("SUCCESS")
			} else {
				w.line("FAILURE")
			}
			for _, op := range r.GetResponses() {
				w.line()
				operation(op).simple(w)
			}
		},
		fields: func(w *fieldsWriter) {
			w.header(r.GetHeader())
			w.value("Succeeded", r.GetSucceeded())
			for _, op := range r.GetResponses() {
				operation(op).fields(w)
			}
		},
	}
}

func operation(op *pb.ResponseOp) Answer {
	switch r := op.GetResponse().(type) {
	case *pb.ResponseOp_ResponseRange:
		return rangeAnswer(r.ResponseRange)
	case *pb.ResponseOp_ResponsePut:
		return putAnswer(r.ResponsePut)
	case *pb.ResponseOp_ResponseDeleteRange:
		return deleteAnswer(r.ResponseDeleteRange)
	case *pb.ResponseOp_ResponseTxn:
		return txnAnswer(r.ResponseTxn)
	}
	return Answer{ // of a later version of the API
		simple: func(w *simpleWriter) { w.line("unexpected response", op) },
		fields: func(w *fieldsWriter) { w.quoted("Unknown", []byte(fmt.Sprint(op))) },
	}
}

// The JSON form of a transaction's answer names the oneof "Response", as encoding/json did with the Go types of older versions of the API.
type (
	txnForm struct {
		Header    *pb.ResponseHeader `json:"header,omitempty"`
		Succeeded bool               `json:"succeeded,omitempty"`
		Responses []operationForm    `json:"responses,omitempty"`
	}
	operationForm struct {
		Response oneOf `json:"Response"`
	}
	oneOf struct {
		Range  *pb.RangeResponse       `json:"response_range,omitempty"`
		Put    *pb.PutResponse         `json:"response_put,omitempty"`
		Delete *pb.DeleteRangeResponse `json:"response_delete_range,omitempty"`
		Txn    *txnForm                `json:"response_txn,omitempty"`
	}
)

func txnJSON(r *pb.TxnResponse) *txnForm {
	form := &txnForm{Header: r.GetHeader(), Succeeded: r.GetSucceeded()}
	for _, op := range r.GetResponses() {
		one := oneOf{Range: op.GetResponseRange(), Put: op.GetResponsePut(), Delete: op.GetResponseDeleteRange()}
		if nested := op.GetResponseTxn(); nested != nil {
			one.Txn = txnJSON(nested)
		}
		form.Responses = append(form.Responses, operationForm{one})
	}
	return form
}

// Watch shows one message of a watch.
func Watch(r *clientv3.WatchResponse) Answer {
	return Answer{
		value: r,
		message: &pb.WatchResponse{
			Header: r.Header, Events: r.Events, CompactRevision: r.CompactRevision, Canceled: r.Canceled, Created: r.Created,
		},
		simple: func(w *simpleWriter) {
			for _, e := range r.Events {
				w.line(e.GetType())
				if e.GetPrevKv() != nil {
					w.keyValue(e.GetPrevKv())
				}
				w.keyValue(e.GetKv())
			}
		},
		fields: func(w *fieldsWriter) {
			w.header(r.Header)
			for _, e := range r.Events {
				w.value("Type", e.GetType())
				if e.GetPrevKv() != nil {
					w.keyValue("Prev", e.GetPrevKv())
				}
				w.keyValue("", e.GetKv())
			}
		},
	}
}
