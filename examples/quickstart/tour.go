package main

import (
	"crypto/rand"
	"os"
	"strings"
	"text/template"
)

// printTour prints the lines that walk through everything, to be pasted in order.
// The address differs at each start, since the accounts of earlier ones are kept.
func printTour(base, operator, file string) {
	err := tour.Execute(os.Stdout, map[string]string{
		"Base": base, "Operator": operator, "File": file, "Email": "ada-" + strings.ToLower(rand.Text()[:6]) + "@example.com",
	})
	if err != nil {
		panic(err) // the template is wrong
	}
}

var tour = template.Must(template.New("tour").Parse(`Quitrent quickstart on {{.Base}} (data in {{.File}}; Ctrl-C stops it)
Operator token, new at each start: {{.Operator}}

Sign up in a browser at {{.Base}}/ or paste these lines into a second terminal, in order:

BASE={{.Base}}
OPERATOR={{.Operator}}
JAR=$(mktemp)
JSON='Content-Type: application/json'

# 1. Sign up: 14 days, 2,000 credits, and an API key that is shown this once
KEY=$(curl -s $BASE/v1/signup -H "$JSON" -d '{"name": "Ada", "email": "{{.Email}}", "password": "correct-horse-battery"}' | tee /dev/stderr | sed -n 's/.*"api_key":"\([^"]*\)".*/\1/p')
ACCOUNT=$(curl -s $BASE/v1/account -H "Authorization: Bearer $KEY" | sed -n 's/.*"id":"\(acc_[^"]*\)".*/\1/p')

# 2. Buy ideas, 5 credits each: the answer carries cost, balance and RateLimit headers
curl -si $BASE/v1/ideas -H "Authorization: Bearer $KEY" -H "$JSON" -d '{"count": 3}'

# 3. Too fast: 429 with Retry-After. Too much: 402 with the way to pay
seq 60 | xargs -P 30 -I{} curl -s -o /dev/null -w '%{http_code}\n' $BASE/v1/ideas -H "Authorization: Bearer $KEY" -H "$JSON" -d '{"count": 1}' | sort | uniq -c
sleep 4
curl -s -o /dev/null -w '%{http_code}\n' $BASE/v1/ideas -H "Authorization: Bearer $KEY" -H "$JSON" -d '{"count": 300}'
curl -si $BASE/v1/ideas -H "Authorization: Bearer $KEY" -H "$JSON" -d '{"count": 300}'

# 4. Sign in, which leaves a cookie, and pay by bank transfer: a trial that is over may too
curl -s -c $JAR $BASE/v1/session -H "$JSON" -d '{"email": "{{.Email}}", "password": "correct-horse-battery"}'
REF=$(curl -s -b $JAR $BASE/v1/billing/transfers -H "$JSON" -d '{"plan": "starter"}' | tee /dev/stderr | sed -n 's/.*"reference":"\(RF[0-9]*\)".*/\1/p')
curl -si $BASE/operator/transfers/$REF/confirm -H "Authorization: Bearer $KEY" -H "$JSON" -d '{"reason": "let me"}'
curl -s $BASE/operator/transfers/$REF/confirm -H "Authorization: Bearer $OPERATOR" -H "$JSON" -d '{"reason": "seen on the statement"}'
curl -s $BASE/operator/transfers/$REF/confirm -H "Authorization: Bearer $OPERATOR" -H "$JSON" -d '{"reason": "once more: nothing is granted twice"}'
curl -s $BASE/v1/account -H "Authorization: Bearer $KEY"

# 5. Rotate the key, which names itself: for an hour the old secret works beside the new one
NEW=$(curl -s -b $JAR $BASE/v1/keys/$(echo $KEY | cut -c9-20)/rotate -H "$JSON" -d '{"overlap_seconds": 3600}' | tee /dev/stderr | sed -n 's/.*"api_key":"\([^"]*\)".*/\1/p')
curl -s $BASE/v1/credits/balance -H "Authorization: Bearer $KEY"
curl -s $BASE/v1/credits/balance -H "Authorization: Bearer $NEW"

# 6. A key that may only read: 403 when it would spend
READER=$(curl -s -b $JAR $BASE/v1/keys -H "$JSON" -d '{"name": "dashboard", "may": "read"}' | tee /dev/stderr | sed -n 's/.*"api_key":"\([^"]*\)".*/\1/p')
curl -s $BASE/v1/credits/balance -H "Authorization: Bearer $READER"
curl -si $BASE/v1/ideas -H "Authorization: Bearer $READER" -H "$JSON" -d '{"count": 1}'

# 7. An access token, for who is trusted with a minute and not with the key
TOKEN=$(curl -s $BASE/v1/token -H "Authorization: Bearer $NEW" -H "$JSON" -d '{"expires_in": 60}' | tee /dev/stderr | sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p')
curl -si $BASE/v1/ideas -H "Authorization: Bearer $TOKEN" -H "$JSON" -d '{"count": 1}'

# 8. Suspend the account: its key is refused at once. Resume it
curl -s $BASE/operator/accounts/$ACCOUNT/suspend -H "Authorization: Bearer $OPERATOR" -H "$JSON" -d '{"reason": "to see it work"}'
curl -si $BASE/v1/ideas -H "Authorization: Bearer $KEY" -H "$JSON" -d '{"count": 1}'
curl -s $BASE/operator/accounts/$ACCOUNT/resume -H "Authorization: Bearer $OPERATOR" -H "$JSON" -d '{"reason": "seen"}'
curl -si $BASE/v1/ideas -H "Authorization: Bearer $KEY" -H "$JSON" -d '{"count": 1}'

# 9. The ledger
curl -s "$BASE/v1/credits/entries?limit=5" -H "Authorization: Bearer $KEY"
curl -s $BASE/v1/credits/balance -H "Authorization: Bearer $KEY"

# 10. Leave: take everything along, close the account, and have it back within 30 days
curl -s -o /dev/null -w '%{http_code} %{content_type}\n' -b $JAR $BASE/v1/account/export
curl -s -b $JAR $BASE/v1/account/close -H "$JSON" -d '{"reason": "moving on"}'
curl -si $BASE/v1/ideas -H "Authorization: Bearer $KEY" -H "$JSON" -d '{"count": 1}'
curl -s $BASE/operator/accounts/$ACCOUNT/restore -H "Authorization: Bearer $OPERATOR" -H "$JSON" -d '{"reason": "changed her mind"}'
curl -s -o /dev/null -w '%{http_code}\n' -b $JAR -c $JAR -X DELETE $BASE/v1/session
`))
