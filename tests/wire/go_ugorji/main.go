// SPDX-License-Identifier: BSD-3-Clause

// Go's net/rpc over ugorji's MsgpackSpecRpc, unmodified, against a running daemon: main unix PATH | tcp HOST:PORT.
// This codec reads the first byte of a response literally (0x94), and a non-nil error into a string.
package main

import (
	"fmt"
	"net"
	"net/rpc"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ugorji/go/codec"
)

// params makes the array of parameters; never nil, which the codec would write as nil instead of [].
func params(args []interface{}) codec.MsgpackSpecRpcMultiArgs {
	return append(codec.MsgpackSpecRpcMultiArgs{}, args...)
}

func fail(format string, args ...interface{}) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: main unix|tcp ADDRESS")
	}
	connection, err := net.Dial(os.Args[1], os.Args[2])
	if err != nil {
		fail("%v", err)
	}
	connection.SetDeadline(time.Now().Add(30 * time.Second))
	modern := len(os.Getenv("HF_OLD_RAW")) == 0
	handle := &codec.MsgpackHandle{WriteExt: modern}
	handle.RawToString = true
	client := rpc.NewClientWithCodec(codec.MsgpackSpecRpc.ClientCodec(connection, handle))

	call := func(result interface{}, method string, args ...interface{}) {
		if err := client.Call(method, params(args), result); err != nil {
			fail("%s: %v", method, err)
		}
	}
	refused := func(code string, method string, args ...interface{}) {
		var result interface{}
		err := client.Call(method, params(args), &result)
		if err == nil || !strings.Contains(err.Error(), code) {
			fail("%s: wanted %s, got %v", method, code, err)
		}
	}
	equal := func(got, want interface{}) {
		if !reflect.DeepEqual(got, want) {
			fail("got %v, want %v", got, want)
		}
	}

	var id, node, count int64
	var text string
	var counts, refs []int64
	var truth bool
	call(&id, "put", "grüße")
	if id <= 1<<32 {
		fail("ids exceed 2^32: %d", id)
	}
	call(&text, "get", id)
	equal(text, "grüße")
	call(&count, "retain", id)
	equal(count, int64(2))
	call(&count, "retain", id, 3)
	equal(count, int64(5))
	call(&count, "release", id, 4)
	equal(count, int64(1))
	call(&node, "put", nil, map[string]interface{}{"refs": []int64{id}, "tag": "node"})
	call(&refs, "refs", node)
	equal(refs, []int64{id})
	call(&counts, "release", []int64{id})
	equal(counts, []int64{0})
	refused("NOTHELD", "release", id)
	refused("NOMETHOD", "nonsense")
	refused("BADARG", "put")
	refused("NOTFOUND", "lookup", "nothing")
	// Bytes: an old handle (no WriteExt) writes them as str.
	blob := []byte{0xff, 0xfe, 0, 0x80}
	var back []byte
	var blobID int64
	call(&blobID, "put", blob)
	call(&back, "get", blobID)
	equal(back, blob)
	call(&count, "release", blobID)
	call(&count, "release", node)
	equal(count, int64(0))
	refused("GONE", "get", id)
	var version []int64
	call(&version, "store", "go-name", 5)
	call(&count, "fetch", "go-name")
	equal(count, int64(5))
	call(&truth, "unname", "go-name")
	equal(truth, true)
	fmt.Println("done")
}
