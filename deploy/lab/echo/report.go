package echo

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// Report is what a run of samples comes to.
type Report struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Errors counts the failures by their word.
	Errors map[string]int `json:"errors,omitempty"`
	// Pods and Clusters count the answers by who gave them.
	Pods     map[string]int `json:"pods"`
	Clusters map[string]int `json:"clusters"`
	// Median, P99 and Max are of answered requests.
	Median time.Duration `json:"medianNanoseconds"`
	P99    time.Duration `json:"p99Nanoseconds"`
	Max    time.Duration `json:"maxNanoseconds"`
}

// Summarize counts samples.
func Summarize(samples []Sample) Report {
	r := Report{Requests: len(samples), Errors: map[string]int{}, Pods: map[string]int{}, Clusters: map[string]int{}}
	var took []time.Duration
	for _, s := range samples {
		if s.Error != "" {
			r.Failed++
			r.Errors[s.Error]++
			continue
		}
		r.Pods[s.Answer.Pod.Pod]++
		r.Clusters[s.Answer.Cluster]++
		took = append(took, s.End.Sub(s.Start))
	}
	if len(took) > 0 {
		slices.Sort(took)
		r.Median, r.P99, r.Max = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	return r
}

// Share returns the part of the answered requests that a cluster answered, 0 to 1.
func (r Report) Share(cluster string) float64 {
	if r.Requests == r.Failed {
		return 0
	}
	return float64(r.Clusters[cluster]) / float64(r.Requests-r.Failed)
}

// parseHTTP reads a whole HTTP response.
func parseHTTP(raw []byte) (Answer, error) {
	if len(raw) == 0 {
		return Answer{}, io.ErrUnexpectedEOF
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		return Answer{}, fmt.Errorf("reading the response: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("status %s", response.Status)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, err
	}
	return parse(body, "")
}
