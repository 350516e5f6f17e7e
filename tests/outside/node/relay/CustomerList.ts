// A paged list, as a Relay front end would write it: Relay's compiler knows the rules of connections and of `node`.
import { graphql } from "relay-runtime";

export const query = graphql`
  query CustomerListQuery($first: Int!) {
    ...CustomerList_customers @arguments(first: $first)
  }
`;

export const customers = graphql`
  fragment CustomerList_customers on Query
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" })
  @refetchable(queryName: "CustomerListNextQuery") {
    customers(first: $first, after: $after) @connection(key: "CustomerList_customers") {
      edges {
        node {
          id
          ...CustomerCard_customer
        }
      }
    }
  }
`;
