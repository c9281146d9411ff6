// A sender made from the .proto files alone: the generated code in wire/ and grpc-go, no Sidelight library.
//
//	go run . [model name]
//
// It says that a model was loaded, records predictions one by one (rows) and in bulk (columns), brings a label,
// sends one message twice, and does the bulk again over a stream. Exit status: 0 when the agent took everything and
// has it on disk, 1 when it refused anything, 2 when it could not be reached.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sidelight "sidelight.dev/examples/sender/wire"
)

//go:generate ./generate.sh

const (
	defaultEndpoint = "unix:/run/sidelight/agent.sock"
	defaultModel    = "example-go"
	timeout         = 10 * time.Second
)

// sender numbers its messages: by its id (unique per process start) and a sequence that counts from 1 the agent knows
// a message it has seen before.
type sender struct {
	client   sidelight.RecorderClient
	model    *sidelight.Model
	id       string
	sequence uint64
	recorded uint64
	faults   []string
}

func main() {
	endpoint, model := defaultEndpoint, defaultModel
	if value := os.Getenv("SIDELIGHT_ENDPOINT"); value != "" {
		endpoint = value
	}
	if len(os.Args) > 1 {
		model = os.Args[1]
	}
	fmt.Printf("%s to %s\n", model, endpoint)
	faults, err := run(endpoint, model)
	for _, fault := range faults {
		fmt.Fprintln(os.Stderr, fault)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "no answer from %s: %v\n", endpoint, err)
		os.Exit(2)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

func run(endpoint, model string) ([]string, error) {
	connection, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s := &sender{
		client: sidelight.NewRecorderClient(connection),
		model:  &sidelight.Model{Name: model, Version: "7", Deployment: "go"},
		id:     fmt.Sprintf("go-%d-%s", os.Getpid(), rand.Text()),
	}
	err = s.converse(ctx)
	return s.faults, err
}

func (s *sender) converse(ctx context.Context) error {
	run := rand.Text()[:8] // prediction ids are unique for ever, so each run has its own prefix
	loaded, rows := s.request(0, loadedBody()), s.request(rowCount, rowsBody(run))
	steps := []struct {
		what    string
		count   uint64
		request *sidelight.RecordRequest
	}{
		{"model loaded", 1, loaded},
		{"rows", rowCount, rows},
		{"columns", columnsRows, s.request(columnsRows, columnsBody(run+"-a-"))},
		{"label", 1, s.request(0, labelBody(run))},
	}
	for _, step := range steps {
		if _, err := s.record(ctx, step.what, step.count, step.request); err != nil {
			return err
		}
	}
	// As after a lost answer: the same message with the same sequence.
	again, err := s.record(ctx, "rows, sent again", rowCount, rows)
	if err != nil {
		return err
	}
	if !again.GetDuplicate() {
		s.faults = append(s.faults, "rows, sent again: the agent counted them twice")
	}
	b, c := s.request(columnsRows, columnsBody(run+"-b-")), s.request(columnsRows, columnsBody(run+"-c-"))
	return s.stream(ctx, b, c)
}

// request stamps the next message, of so many predictions; one of the functions of messages.go fills in its body.
func (s *sender) request(predictions uint64, fill func(*sidelight.RecordRequest)) *sidelight.RecordRequest {
	s.sequence++
	s.recorded += predictions
	request := &sidelight.RecordRequest{
		Model:          s.model,
		ClientId:       s.id,
		Sequence:       s.sequence,
		SentAtUnixNano: nowUnixNano(),
		Report:         &sidelight.ClientReport{Recorded: s.recorded, Language: "go", ClientVersion: "0.1.0"},
	}
	fill(request)
	return request
}

func (s *sender) record(
	ctx context.Context, what string, count uint64, request *sidelight.RecordRequest,
) (*sidelight.RecordResponse, error) {
	response, err := s.client.Record(ctx, request)
	if err != nil {
		return nil, err
	}
	s.report(what, count, response)
	return response, nil
}

// stream sends columns over one long call: exactly one response per request, in order.
func (s *sender) stream(ctx context.Context, requests ...*sidelight.RecordRequest) error {
	call, err := s.client.RecordStream(ctx)
	if err != nil {
		return err
	}
	for i, request := range requests {
		// io.EOF: the call is over, and Recv says why.
		if err := call.Send(request); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		response, err := call.Recv()
		if err != nil {
			return err
		}
		s.report(fmt.Sprintf("stream, columns %d", i+1), columnsRows, response)
	}
	return call.CloseSend()
}

// report prints one answer and keeps what is wrong with it.
func (s *sender) report(what string, count uint64, response *sidelight.RecordResponse) {
	line := fmt.Sprintf("%-26s accepted %4d of %4d", what, response.GetAccepted(), count)
	if response.GetDuplicate() {
		line += ", seen before: not counted again"
	}
	if !response.GetDurable() {
		line += ", NOT on disk"
		s.faults = append(s.faults, what+": the agent could not write it to its disk")
	}
	if rows := response.GetHints().GetMaxRowsPerMessage(); rows > 0 {
		line += fmt.Sprintf(", at most %d rows a message please", rows)
	}
	fmt.Println(line)
	for _, r := range response.GetRefusals() {
		fault := fmt.Sprintf("%s: %d refused, %s %s: %s", what, r.GetCount(), r.GetReason(), r.GetField(), r.GetDetail())
		s.faults = append(s.faults, fault)
	}
	if response.GetAccepted() != count {
		s.faults = append(s.faults, fmt.Sprintf("%s: %d accepted, %d sent", what, response.GetAccepted(), count))
	}
}
