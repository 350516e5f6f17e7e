// One customer, fetched again by its global id through `node`, and changed.
import { graphql } from "relay-runtime";

export const query = graphql`
  query CustomerCardQuery($id: ID!) {
    customer(id: $id) {
      ...CustomerCard_customer
    }
  }
`;

export const customer = graphql`
  fragment CustomerCard_customer on Customer @refetchable(queryName: "CustomerCardAgainQuery") {
    id
    name
    kind
    tags
    createdAt
  }
`;

export const create = graphql`
  mutation CustomerCardCreateMutation($input: CustomerCreateInput!) {
    customerCreate(input: $input) {
      customer {
        id
        ...CustomerCard_customer
      }
      userErrors {
        code
        message
      }
    }
  }
`;
