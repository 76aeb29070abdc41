import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.Socket;
import java.util.List;
import javax.persistence.Column;
import javax.persistence.Entity;
import javax.persistence.FetchType;
import javax.persistence.GeneratedValue;
import javax.persistence.GenerationType;
import javax.persistence.Id;
import javax.persistence.JoinColumn;
import javax.persistence.ManyToOne;
import javax.persistence.OneToMany;
import javax.persistence.Table;
import org.hibernate.LockMode;
import org.hibernate.Session;
import org.hibernate.SessionFactory;
import org.hibernate.Transaction;
import org.hibernate.cfg.Configuration;

public class HibernateApp {
  @Entity @Table(name = "author")
  public static class Author {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Long id;
    String name;
    String email;
    @OneToMany(mappedBy = "author", fetch = FetchType.LAZY) List<Post> posts;
    public String getName() { return name; }
  }

  @Entity @Table(name = "post")
  public static class Post {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Long id;
    String title;
    int views;
    @ManyToOne(fetch = FetchType.LAZY) @JoinColumn(name = "author_id") Author author;
  }

  @Entity @Table(name = "note")
  public static class Note {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Long id;
    @Column String body;
  }

  interface Work { void run(Session session) throws Exception; }

  static SessionFactory factory;
  static Socket recorder;
  static BufferedReader answers;

  static void say(String what) throws Exception {
    OutputStream out = recorder.getOutputStream();
    out.write((what + "\n").getBytes("UTF-8"));
    out.flush();
    answers.readLine();
  }

  /** Plays a scene in a session of its own, as a request of a web application has one. */
  static void scenario(String name, Work work) throws Exception {
    say("{\"begin\": \"" + name + "\"}");
    Session session = factory.openSession();
    Transaction transaction = session.beginTransaction();
    work.run(session);
    transaction.commit();
    session.close();
    say("{\"end\": true}");
  }

  @SuppressWarnings("unchecked")
  static <T> List<T> list(Session session, String hql, int first, int most) {
    return session.createQuery(hql).setFirstResult(first).setMaxResults(most).list();
  }

  public static void main(String[] arguments) throws Exception {
    recorder = new Socket("127.0.0.1", Integer.parseInt(System.getenv("RECORDER")));
    answers = new BufferedReader(new InputStreamReader(recorder.getInputStream(), "UTF-8"));
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
        + System.getenv("PGDATABASE") + "?sslmode=disable";
    factory = new Configuration()
        .addAnnotatedClass(Author.class).addAnnotatedClass(Post.class).addAnnotatedClass(Note.class)
        .setProperty("hibernate.connection.driver_class", "org.postgresql.Driver")
        .setProperty("hibernate.connection.url", url)
        .setProperty("hibernate.connection.username", System.getenv("PGUSER"))
        .setProperty("hibernate.connection.pool_size", "1")
        // As later versions have it; with batches one round trip carries fifteen statements, and there is no mistake.
        .setProperty("hibernate.jdbc.batch_size", "0")
        .setProperty("hibernate.dialect", "org.hibernate.dialect.PostgreSQLDialect")
        .buildSessionFactory();

    scenario("clean-list", s -> list(s, "from HibernateApp$Post p join fetch p.author order by p.id desc", 0, 12));
    scenario("clean-get", s -> s.get(Post.class, 3L));
    scenario("clean-keyset", s -> list(s, "from HibernateApp$Post p where p.id < 50 order by p.id desc", 0, 12));
    scenario("clean-update", s -> {
      Post post = (Post) s.get(Post.class, 3L, LockMode.UPGRADE);
      post.views += 1;
    });
    scenario("clean-count", s -> s.createQuery("select count(*) from HibernateApp$Post p where p.author.id = 3").uniqueResult());
    scenario("clean-exists", s -> list(s, "select p.id from HibernateApp$Post p where p.author.id = 3", 0, 1));
    // The author of each is fetched when its name is asked for.
    scenario("n-plus-one", s -> {
      for (Post post : HibernateApp.<Post>list(s, "from HibernateApp$Post p order by p.id", 0, 12)) post.author.getName();
    });
    scenario("n-plus-one-children", s -> {
      for (Author author : HibernateApp.<Author>list(s, "from HibernateApp$Author a order by a.id", 0, 8)) author.posts.size();
    });
    scenario("insert-loop", s -> {
      for (int n = 0; n < 15; n++) {
        Note note = new Note();
        note.body = "loop " + n;
        s.save(note);
      }
    });
    scenario("update-loop", s -> {
      for (Note note : HibernateApp.<Note>list(s, "from HibernateApp$Note n order by n.id", 0, 15)) note.body += "!";
    });
    scenario("delete-loop", s -> {
      for (Note note : HibernateApp.<Note>list(s, "from HibernateApp$Note n order by n.id", 0, 15)) s.delete(note);
    });
    scenario("same-again", s -> {
      for (int n = 0; n < 10; n++) {
        s.createQuery("from HibernateApp$Author a where a.id = 1").uniqueResult();
      }
    });
    scenario("deep-page", s -> list(s, "from HibernateApp$Post p order by p.id", 2000, 10));
    scenario("contains", s -> list(s, "from HibernateApp$Post p where p.title like '%ore%' order by p.id", 0, 10));
    scenario("random", s -> list(s, "from HibernateApp$Post p order by random()", 0, 5));
    scenario("ignore-case", s -> list(s, "from HibernateApp$Author a where lower(a.email) = 'a7@example.org' order by a.id", 0, 5));
    scenario("update-all", s -> s.createQuery("update HibernateApp$Note n set n.body = 'same'").executeUpdate());
    scenario("purge", s -> s.createQuery("delete from HibernateApp$Note n").executeUpdate());
    factory.close();
    recorder.close();
  }
}
