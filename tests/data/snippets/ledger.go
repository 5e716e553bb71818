// Package ledger keeps entries with a date and an amount, and sums over them.
package ledger

import (
	"bufio"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
)

// Entry is one line of a ledger.
type Entry struct {
	Day    string
	Amount float64
	Note   string
}

type Ledger struct {
	entries []Entry
}

// Read takes one entry a line: day, amount, note.
func Read(source io.Reader) (*Ledger, error) {
	ledger := &Ledger{}
	scanner := bufio.NewScanner(source)
	for line := 1; scanner.Scan(); line++ {
		columns := strings.SplitN(scanner.Text(), ",", 3)
		if len(columns) < 2 {
			return nil, fmt.Errorf("line %d: too few columns", line)
		}
		amount, err := strconv.ParseFloat(columns[1], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		entry := Entry{Day: columns[0], Amount: amount}
		if len(columns) == 3 {
			entry.Note = columns[2]
		}
		ledger.entries = append(ledger.entries, entry)
	}
	return ledger, scanner.Err()
}

// ByMonth sums the amounts of each month.
func (l *Ledger) ByMonth() map[string]float64 {
	sums := map[string]float64{}
	for _, entry := range l.entries {
		sums[entry.Day[:7]] += entry.Amount
	}
	return sums
}

// Report writes one line a month, in order.
func (l *Ledger) Report(out io.Writer, done chan<- struct{}) {
	sums := l.ByMonth()
	months := make([]string, 0, len(sums))
	for month := range sums {
		months = append(months, month)
	}
	sort.Strings(months)
	for _, month := range months {
		fmt.Fprintf(out, "%s %10.2f\n", month, sums[month])
	}
	done <- struct{}{}
}
