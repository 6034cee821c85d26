package client_test

import (
	"context"
	"fmt"

	"ledger/client"
	"ledger/client/clienttest"
)

func Example() {
	server, err := clienttest.Start(clienttest.Options{}) // or any server's address below
	if err != nil {
		panic(err)
	}
	defer server.Close()
	ctx := context.Background()
	c, err := client.New(ctx, client.Options{Addresses: server.Addresses()})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	alice, bob := client.U128{Lo: 1}, client.U128{Lo: 2}
	_, err = c.CreateAccounts(ctx, []client.Account{{ID: alice, Ledger: 1, Code: 10}, {ID: bob, Ledger: 1, Code: 10}})
	if err != nil {
		panic(err)
	}
	results, err := c.CreateTransfers(ctx, []client.Transfer{
		{ID: client.NewIDs().Next(), DebitAccountID: alice, CreditAccountID: bob, Amount: client.U128{Lo: 25}, Ledger: 1, Code: 1},
	})
	if err != nil {
		panic(err)
	}
	accounts, err := c.LookupAccounts(ctx, []client.U128{bob})
	if err != nil {
		panic(err)
	}
	fmt.Println(results[0].Status, accounts[0].CreditsPosted)
	// Output: created 25
}
