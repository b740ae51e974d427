package humanize

import "fmt"

func ExampleInt() {
	fmt.Println(Int(999), Int(1000), Int(int64(-1234567)))
	// Output: 999 1,000 -1,234,567
}

func ExampleNewPrinter() {
	fmt.Println(NewPrinter().Sprintf("%d of %d resources", 1500, 20_000_000))
	// Output: 1,500 of 20,000,000 resources
}
