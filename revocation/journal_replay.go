package revocation

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// logRecord is one record that was read back.
type logRecord struct {
	number  uint64
	payload []byte
}

// replay calls f for each record that is not in the journal, in order, and
// makes the log ready to be appended to.
func (l *journalLog) replay(f func(payload []byte) error) error {
	var halves [2][]logRecord
	for h := range halves {
		b, err := l.readHalf(h)
		if err != nil {
			return fmt.Errorf("revocation log: %w", err)
		}
		l.allocated[h] = int64(len(b))
		records, end := l.records(b)
		halves[h] = records
		if len(records) > 0 {
			l.last[h] = records[len(records)-1].number
		}
		if later := l.later(b[end:], max(l.last[h], l.applied)); later > 0 {
			return &DamageError{l.path, fmt.Sprintf("record %d is damaged, and record %d is behind it", max(l.last[h], l.applied)+1, later)}
		}
		if l.last[h] >= l.number && len(records) > 0 {
			l.number, l.current, l.offset = l.last[h], h, end
		}
	}
	first, second := halves[0], halves[1]
	if len(first) > 0 && len(second) > 0 && first[0].number > second[0].number {
		first, second = second, first
	}
	want := l.applied + 1
	for _, r := range append(first, second...) {
		if r.number < want {
			continue
		}
		if r.number > want {
			return &DamageError{l.path, fmt.Sprintf("records %d to %d are missing", want, r.number-1)}
		}
		if err := f(r.payload); err != nil {
			return &DamageError{l.path, fmt.Sprintf("record %d: %v", r.number, err)}
		}
		l.since += int64(len(r.payload))
		want++
	}
	return nil
}

func (l *journalLog) readHalf(half int) ([]byte, error) {
	info, err := l.file.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(max(info.Size()-l.base(half), 0), l.half))
	n, err := l.file.ReadAt(b, l.base(half))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// records returns the records from the start of a half, and where they end.
func (l *journalLog) records(b []byte) (list []logRecord, end int64) {
	for {
		r, size, ok := l.record(b[end:])
		if !ok || len(list) > 0 && r.number != list[len(list)-1].number+1 {
			return list, end
		}
		list = append(list, r)
		end += size
	}
}

// record reads the record at the start of b.
func (l *journalLog) record(b []byte) (r logRecord, size int64, ok bool) {
	if len(b) < logRecordHead || binary.BigEndian.Uint32(b) != logMagic {
		return logRecord{}, 0, false
	}
	n := int64(binary.BigEndian.Uint32(b[4:]))
	size = (logRecordHead + n + 7) / 8 * 8
	if size > int64(len(b)) || l.checksum(b[16:logRecordHead+n]) != binary.BigEndian.Uint32(b[8:]) {
		return logRecord{}, 0, false
	}
	return logRecord{number: binary.BigEndian.Uint64(b[16:]), payload: b[logRecordHead : logRecordHead+n]}, size, true
}

// later looks in b, from where records end, for one with a number beyond last.
func (l *journalLog) later(b []byte, last uint64) uint64 {
	magic := binary.BigEndian.AppendUint32(nil, logMagic)
	for at := 0; ; {
		n := bytes.Index(b[at:], magic)
		if n < 0 {
			return 0
		}
		at += n
		// Records begin at multiples of eight, and so does b.
		if r, _, ok := l.record(b[at:]); ok && at%8 == 0 && r.number > last {
			return r.number
		}
		at++
	}
}
