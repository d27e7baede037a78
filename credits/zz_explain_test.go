package credits_test
import ("testing";"fmt";"github.com/uptrace/bun";"github.com/quitrent/quitrent/credits";"github.com/uptrace/bun/dialect")
func TestZZ(t *testing.T){ bare(t, func(t *testing.T, db *bun.DB, l *credits.Ledger){
 joined(t,db,func(tx bun.Tx){ fund(t,l,tx,100000); for i:=range 3000 { e:=deduct(t,l,tx,credits.Deduct{Account:acc,Amount:2}); if i%3==0 {refund(t,l,tx,credits.Refund{Account:acc,Entry:e.Number,Amount:1,Key:fmt.Sprint(i)})}}})
 exec(t,db,"ANALYZE")
 p:="EXPLAIN "; if db.Dialect().Name()==dialect.SQLite {p="EXPLAIN QUERY PLAN "}
 rows,err:=db.Query(p+`SELECT * FROM credits_splits AS s WHERE account_id = 'acc_1' AND unit = 'credit' AND number IN (SELECT CAST(50 AS BIGINT) UNION ALL
			SELECT number FROM credits_entries WHERE account_id = 'acc_1' AND unit = 'credit' AND refund_of = 50) ORDER BY number, position`)
 if err!=nil {t.Fatal(err)}
 for rows.Next(){ var a,b,c any; var s string; if db.Dialect().Name()==dialect.SQLite {rows.Scan(&a,&b,&c,&s)} else {rows.Scan(&s)}; fmt.Println(s)}
})}
