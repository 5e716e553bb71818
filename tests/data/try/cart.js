// A shopping cart and what is in it.

class Item {
  constructor(name, price, count) {
    this.name = name;
    this.price = price;
    this.count = count;
  }

  total() {
    return this.price * this.count;
  }
}

class Cart {
  constructor() {
    this.items = [];
  }

  add(item) {
    this.items.push(item);
  }

  remove(name) {
    this.items = this.items.filter((item) => item.name !== name);
  }

  total() {
    let total = 0;
    for (const item of this.items) {
      total += item.total();
    }
    return total;
  }

  count() {
    let count = 0;
    for (const item of this.items) {
      count += item.count;
    }
    return count;
  }
}

module.exports = { Item, Cart };
