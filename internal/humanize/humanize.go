// Package humanize formats numbers for people, with thousands separated: 1,234,567.
package humanize

import (
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Int returns a whole number with thousands separated.
func Int[N ~int | ~int64](n N) string { return NewPrinter().Sprint(n) }

// NewPrinter returns a printer whose %d separates thousands.
func NewPrinter() *message.Printer { return message.NewPrinter(language.English) }
