package main

import (
	"fmt"
	"math"
	"time"

	sidelight "sidelight.dev/examples/sender/wire"
)

// What the example says about its predictions: the bodies of RecordRequest.

const (
	rowCount    = 3
	columnsRows = 500
)

func nowUnixNano() uint64 { return uint64(time.Now().UnixNano()) }

func pointer[T any](value T) *T { return &value }

func loadedBody() func(*sidelight.RecordRequest) {
	event := &sidelight.Event{
		TimeUnixNano: nowUnixNano(),
		Event: &sidelight.Event_Loaded{Loaded: &sidelight.ModelLoaded{
			Task:          sidelight.Task_TASK_BINARY,
			PositiveLabel: "leaves",
			Threshold:     pointer(0.5),
			LoadSeconds:   0.8,
			Framework:     "onnx",
		}},
	}
	return func(request *sidelight.RecordRequest) {
		request.Body = &sidelight.RecordRequest_Lifecycle{
			Lifecycle: &sidelight.Lifecycle{Events: []*sidelight.Event{event}},
		}
	}
}

func predictionID(run string, i int) string { return fmt.Sprintf("%s-row-%d", run, i) }

// rowsBody: absent, null and NaN are three things. Leave a key out, name it in Nulls, send NaN.
func rowsBody(run string) func(*sidelight.RecordRequest) {
	rows := []*sidelight.Row{
		{
			Numbers: map[string]float64{"age": 41, "tenure_months": 18},
			Texts:   map[string]string{"plan": "basic"},
			Flags:   map[string]bool{"has_app": true},
		},
		{
			Numbers: map[string]float64{"age": math.NaN(), "tenure_months": 3},
			Texts:   map[string]string{"plan": "plus"},
			Flags:   map[string]bool{"has_app": false},
		},
		{
			Numbers: map[string]float64{"tenure_months": 60},
			Texts:   map[string]string{"plan": "basic"},
			Nulls:   []string{"age"},
		},
	}
	for i, row := range rows {
		row.PredictionId = predictionID(run, i)
		row.TimeUnixNano = nowUnixNano()
		row.Outputs = []*sidelight.Output{{
			Prediction: &sidelight.Output_Label{Label: "stays"},
			Scores:     map[string]float64{"": 0.12},
		}}
		row.LatencySeconds = pointer(0.004 + float64(i)/1000)
		row.Stages = []*sidelight.Stage{{Name: "inference", OffsetSeconds: 0.001, DurationSeconds: 0.003}}
		row.Segments = map[string]string{"region": "eu"}
	}
	return func(request *sidelight.RecordRequest) {
		request.Body = &sidelight.RecordRequest_Rows{Rows: &sidelight.Rows{Rows: rows}}
	}
}

func labelBody(run string) func(*sidelight.RecordRequest) {
	label := &sidelight.Label{
		PredictionId: predictionID(run, 1),
		Truth:        &sidelight.Label_Label{Label: "leaves"},
		TimeUnixNano: nowUnixNano(),
	}
	return func(request *sidelight.RecordRequest) {
		request.Body = &sidelight.RecordRequest_Labels{Labels: &sidelight.Labels{Labels: []*sidelight.Label{label}}}
	}
}

// each fills one packed array of a column.
func each[T any](value func(i int) T) []T {
	values := make([]T, columnsRows)
	for i := range values {
		values[i] = value(i)
	}
	return values
}

// bitmap has a bit a row, least significant first: set where test holds.
func bitmap(test func(i int) bool) []byte {
	bits := make([]byte, (columnsRows+7)/8)
	for i := range columnsRows {
		if test(i) {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return bits
}

// columnsBody is the bulk form: one packed array a feature. Ids are a prefix and a number, texts a dictionary and codes.
func columnsBody(prefix string) func(*sidelight.RecordRequest) {
	now := nowUnixNano()
	score := func(i int) float64 { return float64(i*37%100) / 100 }
	columns := &sidelight.Columns{
		Rows:         columnsRows,
		IdPrefix:     prefix,
		IdNumbers:    each(func(i int) uint64 { return uint64(i) }),
		TimeUnixNano: each(func(int) uint64 { return now }),
		Numbers: []*sidelight.NumberColumn{
			{
				Name:   "age",
				Values: each(func(i int) float64 { return float64(18 + i%60) }),
				Nulls:  bitmap(func(i int) bool { return i%50 == 0 }),
			},
			{Name: "tenure_months", Values: each(func(i int) float64 { return float64(i * 7 % 72) })},
		},
		Texts: []*sidelight.TextColumn{{
			Name:       "plan",
			Dictionary: []string{"basic", "plus", "family"},
			Codes:      each(func(i int) uint32 { return uint32(i % 3) }),
		}},
		Flags: []*sidelight.FlagColumn{{Name: "has_app", Values: each(func(i int) bool { return i%4 != 0 })}},
		Outputs: []*sidelight.OutputColumn{{
			Labels: &sidelight.TextColumn{
				Dictionary: []string{"stays", "leaves"},
				Codes: each(func(i int) uint32 {
					if score(i) >= 0.5 {
						return 1
					}
					return 0
				}),
			},
			Scores: []*sidelight.ScoreColumn{{Values: each(score)}},
		}},
		LatencySeconds: each(func(i int) float64 { return 0.004 + float64(i%10)/1000 }),
		Segments: []*sidelight.TextColumn{{
			Name:       "region",
			Dictionary: []string{"eu", "us"},
			Codes:      each(func(i int) uint32 { return uint32(i % 2) }),
		}},
	}
	return func(request *sidelight.RecordRequest) {
		request.Body = &sidelight.RecordRequest_Columns{Columns: columns}
	}
}
