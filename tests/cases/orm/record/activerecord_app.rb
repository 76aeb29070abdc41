require "active_record"
require "json"
require "socket"

CONTROL = TCPSocket.new("127.0.0.1", ENV["RECORDER"].to_i)
def scenario(name)
  CONTROL.puts({ begin: name }.to_json)
  CONTROL.gets
  yield
  CONTROL.puts({ end: true }.to_json)
  CONTROL.gets
end

ActiveRecord::Base.establish_connection(
  adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"].to_i, database: ENV["PGDATABASE"], username: ENV["PGUSER"]
)

class Author < ActiveRecord::Base
  self.table_name = "author"
  has_many :posts
end
class Post < ActiveRecord::Base
  self.table_name = "post"
  belongs_to :author
end
class Note < ActiveRecord::Base
  self.table_name = "note"
end
[Author, Post, Note].each(&:columns)
Author.first

scenario("clean-list") { Post.includes(:author).order(id: :desc).limit(12).map { |post| post.author.name } }
scenario("clean-get") { Post.find(3) }
scenario("clean-keyset") { Post.where("id < ?", 50).order(id: :desc).limit(12).to_a }
scenario("clean-bulk") { Note.insert_all((0...20).map { |n| { body: "bulk #{n}" } }) }
scenario("clean-update") { Post.transaction { post = Post.lock.find(3); post.update!(views: post.views + 1) } }
scenario("clean-count") { Post.where(author_id: 3).count }
scenario("clean-exists") { Post.where(author_id: 3).exists? }
scenario("n-plus-one") { Post.order(:id).limit(12).each { |post| post.author.name } }
scenario("n-plus-one-children") { Author.order(:id).limit(8).each { |author| author.posts.to_a } }
scenario("insert-loop") { 15.times { |n| Note.create!(body: "loop #{n}") } }
notes = Note.order(:id).limit(30).to_a
scenario("update-loop") { notes.first(15).each { |note| note.update!(body: note.body + "!") } }
scenario("delete-loop") { notes.last(15).each(&:destroy!) }
scenario("same-again") { 10.times { Author.find(1) } }
scenario("deep-page") { Post.order(:id).offset(2000).limit(10).to_a }
scenario("contains") { Post.where("title LIKE ?", "%ore%").order(:id).limit(10).to_a }
scenario("random") { Post.order(Arel.sql("RANDOM()")).limit(5).to_a }
scenario("ignore-case") { Author.where("lower(email) = ?", "a7@example.org").order(:id).limit(5).to_a }
scenario("update-all") { Note.update_all(body: "same") }
scenario("purge") { Note.delete_all }
