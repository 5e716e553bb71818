interface User {
  name: string;
  age: number;
}

export function adults(users: User[]): User[] {
  return users.filter((user) => {‸});
}

export const names = (users: User[]) => users.map((user) => user.name);
