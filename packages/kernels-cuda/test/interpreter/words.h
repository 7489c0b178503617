/** The text of a module of PTX as words, numbers and marks; comments are left out. */
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vwn {
namespace ptx {

/** A word is a name, a directive or an opcode with its dots; a mark is one character. */
struct Token {
  enum class Kind { word, number, mark, end };
  Kind kind;
  std::string_view text;
  int line;
};

class Words {
 public:
  /** `text` must live as long as the tokens do. @throws std::runtime_error on what is no PTX */
  explicit Words(std::string_view text);

  const Token &peek(size_t ahead = 0) const;
  Token next();
  bool isNext(std::string_view text) const { return peek().text == text; }
  /** Takes the next token if it is this one. */
  bool take(std::string_view text);
  void expect(std::string_view text);
  /** Takes what is left of the line of the last token. */
  void skipLine();
  std::string word();
  /** Bits of a number: an integer's two's complement, 0f… and 0d… as they stand. */
  uint64_t number();

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace ptx
}  // namespace vwn
