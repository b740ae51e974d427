package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"

	"github.com/jackc/pgx/v5"
)

// DamagePostgres does the same as [Damage] with the pages of a PostgreSQL server, which has
// checksums of pages or not.
func DamagePostgres(ctx context.Context, program testkit.Program, dir string, plan DamagePlan, checksums bool) (DamageReport, error) {
	var initdb []string
	if checksums {
		initdb = append(initdb, "--data-checksums")
	}
	server, err := pgtest.Run(initdb...)
	if err != nil {
		return DamageReport{}, err
	}
	defer server.Close()
	d := &postgresDamage{server: server, checksums: checksums, damageRun: damageRun{ctx: ctx, program: program, dir: dir, plan: plan,
		random: rand.New(rand.NewPCG(plan.Seed, 1)), report: DamageReport{Starts: map[string]int{}, Exports: map[string]int{}}}}
	err = d.prepare()
	for n := 0; n < plan.Copies && err == nil; n++ {
		err = d.round(n)
		if plan.Progress != nil {
			plan.Progress(n + 1)
		}
	}
	return d.report, err
}

type postgresDamage struct {
	damageRun
	server    *pgtest.Server
	checksums bool
	cluster   string            // data folder of the server
	files     map[string]string // with pages, by the name of the table or index
	names     []string
}

func (d *postgresDamage) prepare() error {
	if err := d.load("--database", d.server.URL); err != nil {
		return err
	}
	s, err := d.start()
	if err != nil {
		return err
	}
	if err := errors.Join(d.exportWhole(s), s.Terminate(), d.locate()); err != nil {
		return err
	}
	return d.copyCluster(d.cluster, d.cluster+".whole")
}

func (d *postgresDamage) start() (*testkit.Server, error) {
	return d.serve(filepath.Join(d.dir, "files"), "--database", d.server.URL)
}

// locate finds the files of all tables except those of exports, and of their indexes, and stops
// the server.
func (d *postgresDamage) locate() error {
	c, err := pgx.Connect(d.ctx, d.server.URL)
	if err != nil {
		return err
	}
	defer c.Close(d.ctx)
	if err := c.QueryRow(d.ctx, `SHOW data_directory`).Scan(&d.cluster); err != nil {
		return err
	}
	rows, err := c.Query(d.ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('job', 'part', 'part_content', 'selection', 'client_use')`)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if err := d.server.Do("shutdown"); err != nil {
		return err
	}
	if err := d.server.Do("start"); err != nil {
		return err
	}
	d.files = map[string]string{}
	for _, table := range tables {
		files, err := pgtest.Files(d.ctx, d.server.URL, table)
		if err != nil {
			return err
		}
		for name, path := range files {
			if info, err := os.Stat(path); err != nil || info.Size() == 0 {
				continue // no pages
			}
			d.files[name] = path
			d.names = append(d.names, name)
		}
	}
	slices.Sort(d.names)
	return d.server.Do("shutdown")
}

// copyCluster copies the data folder of the stopped server, with the owners of its files.
func (d *postgresDamage) copyCluster(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if out, err := exec.CommandContext(d.ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the cluster: %w: %s", err, out)
	}
	return nil
}

// round damages the files of the stopped server, exports, and restores them.
func (d *postgresDamage) round(n int) error {
	how, damaged, err := d.damagePages(n)
	if err != nil {
		return err
	}
	if err := d.server.Do("start"); err != nil {
		return err
	}
	if s, err := d.start(); err != nil {
		d.report.Starts[how]++
		if s != nil {
			s.Kill()
		}
	} else {
		d.exports(n, s, how, damaged)
		s.Kill()
	}
	if err := d.server.Do("stop"); err != nil {
		return err
	}
	return errors.Join(d.copyCluster(d.cluster+".whole", d.cluster), d.ctx.Err())
}

func (d *postgresDamage) exports(n int, s *testkit.Server, how string, damaged []string) {
	for e, filters := range damageFilters {
		lines, err := d.export(s, filters)
		outcome, noticed := "failed as damaged", true
		if err != nil && !strings.Contains(err.Error(), "are damaged") {
			outcome = "failed for another reason"
		}
		if err == nil {
			outcome = d.compare(e, lines)
			mayHide := slices.ContainsFunc(damaged, findsRows) && (!d.checksums || how == zeroedPage)
			noticed = outcome == "right" || outcome == otherResult && mayHide
		}
		d.report.Exports[how+": "+outcome]++
		if !noticed {
			d.report.Wrong = append(d.report.Wrong, fmt.Sprintf("round %d, %s of %v: export %d: %s", n, how, damaged, e, outcome))
		}
	}
}

// findsRows reports whether a table or an index finds rows, so that damage of it may stay unnoticed
// without checksums. PostgreSQL takes a page of zeros for a new one, also with checksums.
func findsRows(name string) bool {
	return strings.HasPrefix(name, "ix_") || strings.HasPrefix(name, "name") ||
		strings.HasPrefix(name, "resource") && (strings.Contains(name, "_pkey") || strings.Contains(name, "_key") || strings.Contains(name, "_idx"))
}

const (
	postgresPage = 8192
	zeroedPage   = "a zeroed page"
)

// damagePages damages one or more pages in one of four ways, and returns the names of their tables
// or indexes.
func (d *postgresDamage) damagePages(n int) (how string, damaged []string, err error) {
	name := d.names[d.random.IntN(len(d.names))]
	file, err := os.ReadFile(d.files[name])
	if err != nil {
		return "", nil, err
	}
	page := func() []byte {
		p := d.random.IntN(len(file) / postgresPage)
		return file[p*postgresPage : (p+1)*postgresPage]
	}
	switch n % 4 {
	case 0:
		how = "a flipped bit"
		page()[d.random.IntN(postgresPage)] ^= 1 << d.random.IntN(8)
	case 1:
		how = "40 flipped bits"
		for range 40 {
			page()[d.random.IntN(postgresPage)] ^= 1 << d.random.IntN(8)
		}
	case 2:
		how = zeroedPage
		clear(page())
	case 3:
		how = "swapped pages"
		a, b := page(), page()
		kept := bytes.Clone(a)
		copy(a, b)
		copy(b, kept)
	}
	return how, []string{name}, overwrite(d.files[name], file)
}

// overwrite writes a file in place, so that its owner stays.
func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
